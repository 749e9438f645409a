//! Which files are opened for writing, on real ones.

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use super::*;

/// A repository, and a file of the user beside it.
struct Scene {
    scratch: TempDir,
}

impl Scene {
    fn new() -> Self {
        let scratch = TempDir::new().unwrap();
        fs::create_dir_all(scratch.path().join("repository/.git")).unwrap();
        fs::create_dir(scratch.path().join("repository/plain")).unwrap();
        fs::create_dir(scratch.path().join("home")).unwrap();
        fs::write(scratch.path().join("home/.bashrc"), "own\n").unwrap();
        Self { scratch }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn link(&self, target: impl AsRef<Path>, name: &str) {
        symlink(target, self.path(name)).unwrap();
    }

    /// Every way of writing to `name` fails with `problem`, and changes nothing.
    #[track_caller]
    fn refuses(&self, name: &str, problem: &str) {
        let path = self.path(name);
        let errors = [append(&path).map(drop).unwrap_err(), write(&path, b"evil").unwrap_err()];
        for error in errors {
            assert!(error.to_string().contains(problem), "{name}: {error}");
        }
        let made = create_readable(&path, b"evil");
        assert!(made.is_err(), "{name}");
        assert_eq!(fs::read_to_string(self.path("home/.bashrc")).unwrap(), "own\n", "{name}");
        assert_eq!(fs::read_dir(self.path("home")).unwrap().count(), 1, "{name}");
    }

    #[track_caller]
    fn takes(&self, name: &str) {
        let path = self.path(name);
        append(&path).unwrap().write_all(b"line\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "line\n", "{name}");
        write(&path, b"new").unwrap();
        assert_eq!(read(&path, 100).unwrap().unwrap(), b"new", "{name}");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn no_file_is_written_through_a_link_of_a_repository() {
    let scene = Scene::new();
    scene.link(scene.path("home/.bashrc"), "repository/absolute");
    scene.link("../home/.bashrc", "repository/relative");
    scene.link("../home/new", "repository/dangling");
    scene.link("absolute", "repository/chain");
    scene.link("itself", "repository/itself");
    scene.link("/proc/self/fd/2", "repository/stderr");
    for name in ["absolute", "relative", "dangling", "chain", "itself", "stderr"] {
        scene.refuses(&format!("repository/{name}"), "it is a symbolic link");
        assert!(fs::symlink_metadata(scene.path(&format!("repository/{name}"))).unwrap().is_symlink());
    }
}

#[test]
fn no_directory_of_a_repository_is_a_link() {
    let scene = Scene::new();
    scene.link("../home", "repository/logs");
    scene.link(scene.path("home"), "repository/plain/logs");
    scene.link("plain", "repository/inside");
    scene.link("..", "repository/up");
    for name in [
        "repository/logs/.bashrc",
        "repository/logs/new",
        "repository/plain/logs/new",
        "repository/plain/../logs/new",
        // The link is passed, and left again.
        "repository/logs/../home/new",
        "repository/logs/../repository/plain/new",
        "repository/inside/new",
        "repository/up/home/new",
        "repository/./logs/./new",
        "repository//logs//new",
    ] {
        scene.refuses(name, "is a symbolic link in a repository");
    }
    // Reached from outside, over a link that may be followed.
    scene.link("repository", "alias");
    scene.link(scene.path("alias/plain"), "deep");
    scene.refuses("alias/logs/new", "is a symbolic link in a repository");
    scene.refuses("deep/logs/new", "is a symbolic link in a repository");
    scene.refuses("deep/../logs/new", "is a symbolic link in a repository");
}

#[test]
fn the_working_directory_and_a_project_file_mark_a_repository() {
    let scene = Scene::new();
    fs::create_dir_all(scene.path("unpacked/sub")).unwrap();
    scene.link("../home", "unpacked/logs");
    let place = |from: &str, path: &str| {
        Place::seen_from(&scene.path(from), Path::new(path)).map(|place| place.path())
    };
    let home = scene.path("home").canonicalize().unwrap();
    assert_eq!(place("home", "../unpacked/logs/new").unwrap(), home.join("new"));
    assert!(place("unpacked", "logs/new").is_err());
    assert!(place("unpacked", "sub/../logs/new").is_err());
    assert_eq!(place("unpacked/sub", "../logs/new").unwrap(), home.join("new"));
    fs::write(scene.path("unpacked/secrets-bridge.toml"), "").unwrap();
    assert!(place("unpacked/sub", "../logs/new").is_err());
    assert!(place("/", scene.path("unpacked/logs/new").to_str().unwrap()).is_err());
}

#[test]
fn links_outside_of_a_repository_are_followed() {
    let scene = Scene::new();
    scene.link("home", "own");
    scene.takes("own/log");
    scene.takes("home/log");
    scene.takes("repository/log");
    scene.takes("repository/plain/log");
    scene.takes("repository/plain/../log");
    // The links of the system: /var/run, /proc/self, and /tmp on macOS.
    if let Ok(meant) = fs::canonicalize("/var/run") {
        assert_eq!(without_links(Path::new("/var/run/x")).unwrap(), meant.join("x"));
    }
    let directory = scene.path("home").canonicalize().unwrap();
    let here = std::env::current_dir().unwrap();
    if cfg!(target_os = "linux") {
        assert_eq!(without_links(Path::new("/proc/self/cwd/x")).unwrap(), here.join("x"));
    }
    assert_eq!(without_links(&scene.path("own/x")).unwrap(), directory.join("x"));
}

#[test]
fn a_file_with_two_names_is_refused() {
    let scene = Scene::new();
    fs::hard_link(scene.path("home/.bashrc"), scene.path("repository/log")).unwrap();
    scene.refuses("repository/log", "it has 2 hard links");
    fs::remove_file(scene.path("repository/log")).unwrap();
    scene.takes("repository/log");
}

#[test]
fn what_is_no_regular_file_is_refused() {
    let scene = Scene::new();
    fs::create_dir(scene.path("repository/directory")).unwrap();
    scene.refuses("repository/directory", "Is a directory");
    scene.refuses("repository/plain/..", "Is a directory");
    scene.refuses("repository/plain/.", "Is a directory");
    scene.refuses("repository/log/", "Is a directory");
    let fifo = scene.path("repository/fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    scene.refuses("repository/fifo", "it is not a regular file");
    let _socket = std::os::unix::net::UnixListener::bind(scene.path("repository/socket")).unwrap();
    scene.refuses("repository/socket", "it is not a regular file");
    for device in ["/dev/full", "/dev/tty", "/dev/zero"] {
        assert!(
            append(Path::new(device)).unwrap_err().to_string().contains("not a regular file"),
            "{device}"
        );
        assert!(
            write(Path::new(device), b"x").unwrap_err().to_string().contains("not a regular file"),
            "{device}"
        );
    }
    append(Path::new("/dev/null")).unwrap();
    assert!(write(Path::new("/dev/null"), b"x").is_err());
}

#[test]
fn a_fifo_is_opened_only_by_its_own_form_and_with_a_reader() {
    let scene = Scene::new();
    let fifo = scene.path("repository/fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    assert!(open_fifo(&fifo).unwrap_err().to_string().contains("no process reads"));
    let reader = rustix::fs::open(
        &fifo,
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK,
        rustix::fs::Mode::empty(),
    )
    .unwrap();
    open_fifo(&fifo).unwrap().write_all(b"line\n").unwrap();
    let mut line = [0; 5];
    rustix::io::read(&reader, &mut line).unwrap();
    assert_eq!(&line, b"line\n");
    scene.link("fifo", "repository/link");
    assert!(open_fifo(&scene.path("repository/link")).is_err());
    assert!(open_fifo(&scene.path("home/.bashrc")).unwrap_err().to_string().contains("not a FIFO"));
}

#[test]
fn others_lose_the_permission_to_write_and_keep_that_to_read() {
    let scene = Scene::new();
    let path = scene.path("repository/log");
    for (before, after) in [(0o666, 0o644), (0o620, 0o600), (0o640, 0o640), (0o602, 0o600)] {
        fs::write(&path, "old\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(before)).unwrap();
        append(&path).unwrap().write_all(b"new\n").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, after);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old\nnew\n");
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_directory_to_which_all_may_write_is_refused_unless_sticky() {
    let scene = Scene::new();
    let shared = scene.path("shared");
    fs::create_dir_all(shared.join("below")).unwrap();
    fs::set_permissions(&shared, Permissions::from_mode(0o777)).unwrap();
    scene.refuses("shared/log", "all users may write to the directory");
    scene.refuses("shared/below/log", "all users may write to the directory");
    fs::set_permissions(&shared, Permissions::from_mode(0o1777)).unwrap();
    scene.takes("shared/log");
    scene.takes("shared/below/log");
}

#[test]
fn files_and_links_of_another_user_are_refused() {
    let scene = Scene::new();
    let shared = scene.path("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, Permissions::from_mode(0o1777)).unwrap();
    File::create(shared.join("log")).unwrap();
    scene.link("../home", "shared/logs");
    // Only root can give files away.
    let nobody = Some(65534);
    if std::os::unix::fs::chown(shared.join("log"), nobody, nobody).is_err() {
        return;
    }
    std::os::unix::fs::lchown(shared.join("logs"), nobody, nobody).unwrap();
    scene.refuses("shared/log", "it belongs to another user");
    scene.refuses("shared/logs/new", "is a symbolic link of another user");
}

#[test]
fn a_failed_write_leaves_nothing_behind() {
    let scene = Scene::new();
    // The directory of the name is in the way.
    fs::create_dir(scene.path("repository/conf")).unwrap();
    write(&scene.path("repository/conf"), b"x").unwrap_err();
    write(&scene.path("repository/nowhere/conf"), b"x").unwrap_err();
    let names: Vec<_> =
        fs::read_dir(scene.path("repository")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

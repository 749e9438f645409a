# Writes every file of $1 by programs that encode a file into $2/PROGRAM/FORM. $3 is the URL of a server that accepts
# any request.
in=$1 out=$2 url=$3
inputs=("$in"/*)
form() { dir=$out/$1/$2; mkdir -p "$dir"; }
# each TOOL FORM COMMAND…: runs COMMAND with the input as its standard input.
each() {
    form "$1" "$2"; shift 2
    for file in "${inputs[@]}"; do "$@" <"$file" >"$dir/${file##*/}"; done
}

each base64 'base64' base64
each base64 'base64 -w0' base64 -w0
each base64 'base64 -w64' base64 -w64
each busybox 'base64' busybox base64
each busybox 'xxd -p' busybox xxd -p
each openssl 'openssl base64' openssl base64
each openssl 'openssl enc -A' openssl enc -base64 -A
each xxd 'xxd -p' xxd -p
each xxd 'xxd -p -u -c 20' xxd -p -u -c 20
each xxd 'xxd -i' xxd -i
each od 'od -An -tx1' od -An -v -tx1
each hexdump 'hexdump -e' hexdump -v -e '/1 "%02x:"'
each basenc 'basenc --base64url' basenc --base64url
each basenc 'basenc --base32' basenc --base32
each iconv 'UTF-16LE' iconv -f UTF-8 -t UTF-16LE
each iconv 'UTF-16BE' iconv -f UTF-8 -t UTF-16BE
each iconv 'UTF-16 with BOM' iconv -f UTF-8 -t UTF-16
each sed 'indented' sed 's/^/      /'
each sed 'CRLF' sed 's/$/\r/'
each sed 'base64, indented' bash -c 'base64 -w64 | sed "s/^/    /"'
each sed 'base64, CRLF' bash -c 'base64 | sed "s/$/\r/"'

# several TOOL FORM NAME COMMAND…: as each, for one of several programs whose files are one form.
several() {
    local name=$3 base
    form "$1" "$2"; shift 3
    for file in "${inputs[@]}"; do
        base=${file##*/} base=${base%\~}
        "$@" <"$file" >"$dir/$base.$name${file##*"$base"}"
    done
}
dumps=('od, hexdump, xxd, curl' 'dumps with offsets, or of characters')
several "${dumps[@]}" xxd xxd
several "${dumps[@]}" od od
several "${dumps[@]}" od-c od -An -v -c
several "${dumps[@]}" hexdump hexdump -v -C

# What is compressed is not masked, so that the variants of the values are not needed.
inputs=()
for file in "$in"/*; do case $file in *~) ;; *) inputs+=("$file") ;; esac; done
each gzip 'gzip' gzip
each gzip 'gzip -1' gzip -1
for program in bzip2 xz zstd; do several 'bzip2, xz, zstd' 'a compressed file' $program $program -q; done
form tar 'tar.gz'
for file in "${inputs[@]}"; do tar -C "$in" -czf "$dir/${file##*/}" "${file##*/}"; done
form zip 'zip'
for file in "${inputs[@]}"; do zip -q -j - "$file" >"$dir/${file##*/}"; done
form zip 'zip from a stream'
for file in "${inputs[@]}"; do zip -q - - <"$file" >"$dir/${file##*/}"; done
form jar 'jar'
jar cf "$dir/all" -C "$in" .

work=$(mktemp -d)
git init -q "$work/repository"
form git 'loose object'
for file in "${inputs[@]}"; do echo "$file"; done >"$work/list"
while read -r file hash <&3; do
    cp "$work/repository/.git/objects/${hash:0:2}/${hash:2}" "$dir/${file##*/}"
done 3< <(git -C "$work/repository" hash-object -w --stdin-paths <"$work/list" | paste -d ' ' "$work/list" -)
form git 'packed object'
cp "${inputs[@]}" "$work/repository"
cd "$work/repository" || exit 1
git add .
git -c user.name=a -c user.email=a@example.com commit -qm message
git gc -q
cp .git/objects/pack/*.pack "$dir/all"
cd /

# Values that can be a word of a command line: one line each.
words=()
for file in "$in"/*; do
    case ${file##*/} in
        rsa.* | ed25519.* | netrc.* | service-account.* | openvpn.*) ;;
        *.alone | *.alone~) words+=("$file") ;;
    esac
done
form git 'git config'
for file in "${words[@]}"; do
    git config -f "$dir/${file##*/}" http.https://git.example/.extraHeader "Authorization: Bearer $(<"$file")"
done
form git 'git credential-store'
for file in "${words[@]}"; do
    printf 'protocol=https\nhost=git.example\nusername=me\npassword=%s\n' "$(<"$file")" |
        git credential-store --file "$dir/${file##*/}" store
done
form base64 'base64 of user:secret'
for file in "${words[@]}"; do printf 'user:%s' "$(<"$file")" | base64 -w0 >"$dir/${file##*/}"; done
form base64 'docker config.json'
for file in "${words[@]}"; do
    printf '{\n\t"auths": {\n\t\t"registry.example": {\n\t\t\t"auth": "%s"\n\t\t}\n\t}\n}' \
        "$(printf 'deploy:%s' "$(<"$file")" | base64 -w0)" >"$dir/${file##*/}"
done
form npm 'npm config set'
for file in "${words[@]}"; do
    : # npm takes 0.3 s, so that it writes two values only.
    case ${file##*/} in
        token.* | password.*)
            npm_config_userconfig=$dir/${file##*/} npm config set "//registry.example/:_authToken=$(<"$file")" ;;
    esac
done
form curl 'curl -v'
for file in "${words[@]}"; do curl -sv -u "user:$(<"$file")" "$url" 2>"$dir/${file##*/}" >"$work/body"; done
form "${dumps[@]}"
for file in "${words[@]}"; do
    base=${file##*/} base=${base%\~}
    name=$base.trace${file##*"$base"}
    curl -s --trace "$dir/$name" -u "user:$(<"$file")" "$url" >"$work/body"
done
form curl 'curl -v --data-urlencode'
for file in "${words[@]}"; do
    curl -sv -G --data-urlencode "token=$(<"$file")" "$url" 2>"$dir/${file##*/}" >"$work/body"
done
form wget 'wget -d'
for file in "${words[@]}"; do
    # Without the addresses and times that differ from run to run.
    wget -d -O /dev/null --auth-no-challenge --user=user --password="$(<"$file")" "$url" 2>&1 |
        grep -a -E '^(Setting --password|Authorization)' >"$dir/${file##*/}"
done
form xmllint 'xmllint'
for file in "${words[@]}"; do
    /usr/bin/python3 -c 'import sys; from xml.sax.saxutils import escape
print("<a><password>" + escape(sys.stdin.read()) + "</password></a>")' <"$file" |
        xmllint --encode ASCII - >"$dir/${file##*/}"
done
rm -rf "$work"

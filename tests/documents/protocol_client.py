#!/usr/bin/env python3
"""A client of the bridge, written from docs/PROTOCOL.md alone.

Python's standard library and the `openssl` command are all it needs; it is an example for authors of other clients and
a test of the page. OpenSSL before 3.5 has no ML-KEM: the bridge must run with --tls-compat for it.

    protocol_client.py test                            lists the keys offered
    protocol_client.py fetch DIRECTORY KEY... [--then KEY...]
                                                       writes secrets to files; those after --then are asked for by `get`
    protocol_client.py redial KEY                      breaks its connection in the middle of KEY, and resumes
    protocol_client.py agent ID [USER]                 lists the keys of an SSH agent, and asks the first to sign logins
    protocol_client.py http ORIGIN [PATH...]           gets each PATH of an origin that has a rule, over one stream
"""

import base64
import hashlib
import hmac
import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import zlib

MAX_SECRET, MAX_FRAME, CHUNK, STREAM_CHUNK = 1 << 30, 1 << 20, 1 << 16, 1 << 14

# The SSH host does not exist; this script has its key. RFC 8032, 7.1, test 1: seed and public key.
HOST_SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
HOST_PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")


class Failure(Exception):
    pass


# --- CBOR (section 4) ---


def encode(value):
    def head(major, n):
        if n < 24:
            return bytes([major << 5 | n])
        for extra, size, form in ((24, 1 << 8, ">B"), (25, 1 << 16, ">H"), (26, 1 << 32, ">I"), (27, 1 << 64, ">Q")):
            if n < size:
                return bytes([major << 5 | extra]) + struct.pack(form, n)

    if value is None:
        return b"\xf6"
    if isinstance(value, bool):  # before int, which it is too
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    return head(4, len(value)) + b"".join(map(encode, value))


def decode(data):
    def item(at):
        major, n, at = data[at] >> 5, data[at] & 31, at + 1
        if major == 7 and n in (20, 21, 22):
            return {20: False, 21: True, 22: None}[n], at
        if n >= 24:
            size = {24: 1, 25: 2, 26: 4, 27: 8}[n]
            n, at = int.from_bytes(data[at : at + size], "big"), at + size
        if major == 0:
            return n, at
        if major in (2, 3):
            raw = data[at : at + n]
            return (raw if major == 2 else raw.decode()), at + n
        if major == 4:
            items = []
            for _ in range(n):
                value, at = item(at)
                items.append(value)
            return items, at
        raise Failure("not CBOR of this protocol")

    value, end = item(0)
    if encode(value) != data:  # another form, or bytes after it
        raise Failure("not canonical CBOR")
    return value


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


# --- The conf (section 1) ---


class Conf:
    def __init__(self, text):
        text = text.strip()
        if not text.startswith("sb1_"):
            raise Failure("not a conf of version 1")
        raw = base64.urlsafe_b64decode(text[4:] + "=" * (-len(text[4:]) % 4))
        body, crc = raw[:-4], raw[-4:]
        if struct.pack(">I", zlib.crc32(body)) != crc:
            raise Failure("the conf is cut or mangled")
        self.expiry, self.port, keys, *self.endpoints = decode(body)
        self.pin, self.seed = keys[:32], keys[32:]

    def candidates(self):
        for endpoint in self.endpoints:
            if isinstance(endpoint, str):
                host, port = endpoint.rsplit(":", 1)
                yield host.strip("[]"), int(port)
            else:
                yield socket.inet_ntop(socket.AF_INET if len(endpoint) == 4 else socket.AF_INET6, endpoint), self.port
        yield "127.0.0.1", self.port


# --- TLS (section 3) ---


def openssl(*arguments, data=b""):
    return subprocess.run(["openssl", *arguments], input=data, check=True, capture_output=True).stdout


def pem(kind, der):
    return f"-----BEGIN {kind}-----\n{base64.encodebytes(der).decode()}-----END {kind}-----\n"


REVISION = 2


def knock(seed):
    """Shows the bridge that we know the conf; new for each connection."""
    key = hashlib.sha256(b"secrets-bridge knock" + seed).digest()
    nonce = os.urandom(8)
    proof = hmac.digest(key, struct.pack(">H", REVISION) + nonce, "sha256")[:16]
    return "sb1." + base64url(hashlib.sha256(key).digest()[:8] + nonce + proof)


def context(seed, directory):
    """The client's half of the mutual authentication."""
    key, certificate = os.path.join(directory, "key.pem"), os.path.join(directory, "certificate.pem")
    with open(key, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(pem("PRIVATE KEY", bytes.fromhex("302e020100300506032b657004220420") + seed))
    openssl("req", "-x509", "-new", "-key", key, "-subj", "/CN=client", "-out", certificate)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.minimum_version = ssl.TLSVersion.TLSv1_3
    # The library checks CertificateVerify all the same; pin and chain are checked by `check_chain`.
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    tls.load_cert_chain(certificate, key)
    return tls


def chain_of(stream):
    if hasattr(stream, "get_unverified_chain"):  # Python 3.13
        return list(stream.get_unverified_chain())
    return [ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in stream._sslobj.get_unverified_chain()]


def check_chain(stream, pin, directory):
    """Before any application data: the pinned CA is there, and it signed the leaf."""
    leaf, *others = chain_of(stream)
    for certificate in others:
        public_key = openssl("x509", "-inform", "DER", "-pubkey", "-noout", data=certificate).decode()
        der = base64.b64decode("".join(public_key.strip().splitlines()[1:-1]))
        if hashlib.sha256(der).digest() == pin:
            break
    else:
        raise Failure("another bridge answers there: no certificate has the pin")
    paths = [os.path.join(directory, name) for name in ("ca.pem", "leaf.pem")]
    for path, der in zip(paths, (certificate, leaf)):
        with open(path, "w") as file:
            file.write(pem("CERTIFICATE", der))
    verify = ["openssl", "verify", "-no_check_time", "-no-CApath", "-no-CAstore", "-CAfile", *paths]
    if subprocess.run(verify, capture_output=True).returncode != 0:
        raise Failure("another bridge answers there: the leaf is not the pinned CA's")


# --- Websocket (sections 5 and 6) ---


class Connection:
    def __init__(self, conf, hello):
        self.buffer = b""
        with tempfile.TemporaryDirectory() as directory:
            tls, self.stream = context(conf.seed, directory), None
            for address in conf.candidates():
                try:
                    tcp = socket.create_connection(address, timeout=4)
                except OSError:
                    continue
                tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                tls.set_alpn_protocols([knock(conf.seed)])
                self.stream = tls.wrap_socket(tcp)
                check_chain(self.stream, conf.pin, directory)
                break
        if self.stream is None:
            raise Failure("the bridge is gone: no endpoint answers")
        self.stream.settimeout(120)
        self.upgrade(hello)

    def upgrade(self, hello):
        nonce = base64.b64encode(os.urandom(16)).decode()
        lines = [
            "GET / HTTP/1.1",
            "Host: bridge",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {nonce}",
            "Sec-WebSocket-Protocol: secrets-bridge.v1",
            f"secrets-bridge-hello: {base64url(encode(hello))}",
        ]
        self.stream.sendall("".join(line + "\r\n" for line in lines + [""]).encode())
        while b"\r\n\r\n" not in self.buffer:
            self.receive()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        status, *headers = head.decode("latin-1").split("\r\n")
        if status.split(" ")[1] != "101":
            raise Failure(f"the bridge refuses: {status}")
        headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in headers)}
        accept = hashlib.sha1((nonce + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        if headers["sec-websocket-accept"] != base64.b64encode(accept).decode():
            raise Failure("a wrong Sec-WebSocket-Accept")
        if headers["sec-websocket-protocol"] != "secrets-bridge.v1":
            raise Failure("another subprotocol")

    def receive(self):
        data = self.stream.recv(1 << 16)
        if not data:
            raise Failure("the connection ended")
        self.buffer += data

    def exactly(self, length):
        while len(self.buffer) < length:
            self.receive()
        data, self.buffer = self.buffer[:length], self.buffer[length:]
        return data

    def send_frame(self, opcode, payload):
        length = len(payload)
        if length < 126:
            head = bytes([0x80 | opcode, 0x80 | length])
        elif length < 1 << 16:
            head = bytes([0x80 | opcode, 0x80 | 126]) + struct.pack(">H", length)
        else:
            head = bytes([0x80 | opcode, 0x80 | 127]) + struct.pack(">Q", length)
        mask = os.urandom(4)
        self.stream.sendall(head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload)))

    def message(self):
        whole = b""
        while True:
            first, length = self.exactly(2)
            if length == 126:
                (length,) = struct.unpack(">H", self.exactly(2))
            elif length == 127:
                (length,) = struct.unpack(">Q", self.exactly(8))
            if length > MAX_FRAME:
                raise Failure("a frame over the limit")
            payload, opcode = self.exactly(length), first & 15
            if opcode == 9:
                self.send_frame(10, payload)
            elif opcode == 8:
                raise Failure("the bridge closed the connection")
            elif opcode in (0, 2):
                whole += payload
                if first & 0x80:
                    return decode(whole)

    def welcome(self):
        """The agents of the `welcome`, after any number of `waiting`."""
        number, *rest = self.message()
        while number == 25:
            number, *rest = self.message()
        if number != 16:
            raise Failure("no welcome")
        return rest[0]

    def close(self):
        self.send_frame(8, struct.pack(">H", 1000))
        self.stream.close()


class Session:
    """Purpose 0: secrets."""

    def __init__(self, conf, keys, resume=None):
        self.id = resume or os.urandom(16)
        self.connection = Connection(conf, [0, self.id, resume is not None, None, keys, None, False])
        self.keys, self.lengths, self.parts, self.refused = list(keys), {}, {}, {}
        self.agents = self.connection.welcome()

    def get(self, keys):
        self.connection.send_frame(2, encode([1, len(self.keys), keys]))
        self.keys += keys

    def take(self):
        """Reads one message."""
        number, request, *rest = self.connection.message()
        if request >= len(self.keys):
            raise Failure("an answer to a request that was not made")
        if number == 17 and request not in self.lengths and rest[0] <= MAX_SECRET:
            self.lengths[request], self.parts[request] = rest[0], b""
        elif number == 18 and request in self.lengths and 0 < len(rest[0]) <= CHUNK:
            self.parts[request] += rest[0]
            if len(self.parts[request]) > self.lengths[request]:
                raise Failure("more bytes than announced")
        elif number == 19:
            self.refused[request] = rest[0]
        else:
            raise Failure("a message out of order")

    def is_done(self):
        return all(
            request in self.refused or len(self.parts.get(request, b"")) == self.lengths.get(request)
            for request in range(len(self.keys))
        )

    def finish(self):
        while not self.is_done():
            self.take()
        self.connection.close()


# --- SSH agents (section 7) ---


def strings(*parts):
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def take_strings(data, count):
    parts = []
    for _ in range(count):
        (length,) = struct.unpack(">I", data[:4])
        parts.append(data[4 : 4 + length])
        data = data[4 + length :]
    return *parts, data


def ed25519_sign(seed, data):
    with tempfile.TemporaryDirectory() as directory:
        key, message = os.path.join(directory, "key.pem"), os.path.join(directory, "message")
        with open(key, "w") as file:
            file.write(pem("PRIVATE KEY", bytes.fromhex("302e020100300506032b657004220420") + seed))
        with open(message, "wb") as file:
            file.write(data)
        return openssl("pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", message)


def ed25519_verify(public, data, signature):
    with tempfile.TemporaryDirectory() as directory:
        paths = [os.path.join(directory, name) for name in ("key.pem", "message", "signature")]
        with open(paths[0], "w") as file:
            file.write(pem("PUBLIC KEY", bytes.fromhex("302a300506032b6570032100") + public))
        for path, contents in zip(paths[1:], (data, signature)):
            with open(path, "wb") as file:
                file.write(contents)
        key, message, signed = paths
        verify = ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", key, "-in", message, "-sigfile", signed]
        return subprocess.run(["openssl", *verify], capture_output=True).returncode == 0


def session_bind(ssh_session):
    """What ssh says to its agent first: which host it talks to, and that host's signature of the session id."""
    host, signature = strings(b"ssh-ed25519", HOST_PUBLIC), ed25519_sign(HOST_SEED, ssh_session)
    parts = strings(b"session-bind@openssh.com", host, ssh_session, strings(b"ssh-ed25519", signature))
    return b"\x1b" + parts + b"\0"


def login(ssh_session, user, key):
    """What is signed to log in (RFC 4252, section 7)."""
    request = strings(user.encode(), b"ssh-connection", b"publickey")
    return strings(ssh_session) + b"\x32" + request + b"\x01" + strings(b"ssh-ed25519", key)


class AgentSession:
    """Purpose 0, with an agent."""

    def __init__(self, conf, agent, resume=None):
        self.id, self.channels = resume or os.urandom(16), 0
        self.connection = Connection(conf, [0, self.id, resume is not None, None, [], agent, False])
        agents = self.connection.welcome()
        if agent not in agents:
            raise Failure(f"the bridge does not offer the agent {agent}: it offers {', '.join(agents) or 'none'}")
        number, self.known_hosts, self.git_keys = self.connection.message()
        if number != 22:
            raise Failure("no message about the agent")
        number, self.fixed, self.identities = self.connection.message()
        if number != 23:
            raise Failure("no identities")

    def open(self):
        self.channels += 1
        return self.channels - 1

    def send(self, channel, message):
        self.connection.send_frame(2, encode([2, channel, message]))

    def ask(self, channel, message):
        self.send(channel, message)
        while True:
            number, *rest = self.connection.message()
            if number == 23:  # at any time
                self.fixed, self.identities = rest
            elif number == 24 and rest[0] == channel:
                return rest[1:]
            else:
                raise Failure("a message out of order")

    def close(self, channel):
        self.connection.send_frame(2, encode([3, channel]))

    def sign(self, channel, key, data):
        """Asks for a signature of `data`; returns the result as text."""
        answer, refusal = self.ask(channel, b"\x0d" + strings(key, data) + struct.pack(">I", 0))
        if answer == b"\x05":
            return refusal
        if answer[:1] != b"\x0e" or refusal:
            raise Failure("neither a signature nor a refusal")
        signature, end = take_strings(answer[1:], 1)
        kind, raw, more = take_strings(signature, 2)
        if (kind, end, more) != (b"ssh-ed25519", b"", b""):
            raise Failure("not a signature of this key")
        public = take_strings(key, 2)[1]
        return f"{'valid' if ed25519_verify(public, data, raw) else 'invalid'} signature"


def agent(conf, name, user="git"):
    session = AgentSession(conf, name)
    channel = session.open()
    answer, _ = session.ask(channel, b"\x0b")
    (count,), rest = struct.unpack(">I", answer[1:5]), answer[5:]
    listed = []
    for _ in range(count):
        key, comment, rest = take_strings(rest, 2)
        listed.append([key, comment])
        print(take_strings(key, 1)[0].decode(), ascii(comment.decode()))
    if answer[:1] != b"\x0c" or rest or listed != session.identities:
        raise Failure("the channel lists other keys than the session")
    session.close(channel)
    session.connection.send_frame(2, encode([4]))  # the keys are the same: no answer

    key, ssh_session = listed[0][0], os.urandom(32)
    channel = session.open()
    print(f"{user} without a bind:", session.sign(channel, key, login(ssh_session, user, key)))
    session.send(channel, session_bind(ssh_session))
    print(f"{user}:", session.sign(channel, key, login(ssh_session, user, key)))
    print(f"{user} in another session:", session.sign(channel, key, login(os.urandom(32), user, key)))
    print("remove all keys:", session.ask(channel, b"\x13")[1])
    session.connection.stream.close()  # no close frame: the connection breaks

    second = AgentSession(conf, name, session.id)
    channel = second.open()
    second.send(channel, session_bind(ssh_session))
    print(f"{user} after a redial:", second.sign(channel, key, login(ssh_session, user, key)))
    second.close(channel)
    second.connection.close()


# --- HTTP streams (section 8) ---


class Stream:
    """Purpose 3: HTTP requests, whose bytes this client passes on."""

    def __init__(self, conf, session):
        self.connection = Connection(conf, [3, session, False, None, [], None, False])
        self.sent, self.finished = 0, False

    def connect(self, origin):
        self.connection.send_frame(2, encode([5, origin]))

    def send(self, data):
        for at in range(0, len(data), STREAM_CHUNK):
            self.connection.send_frame(2, encode([6, data[at : at + STREAM_CHUNK]]))
        self.sent += len(data)

    def answer(self):
        """The bytes up to the end of the answer."""
        answer = b""
        while True:
            number, *rest = self.connection.message()
            if number == 27 and 0 < len(rest[0]) <= STREAM_CHUNK:
                answer += rest[0]
            elif number == 28 and rest[0] <= self.sent:
                if rest[0] == self.sent:
                    return answer
            elif number == 29:
                self.finished = True
                return answer
            elif number == 30:
                print("refused:", ascii(rest[0]))
            elif number == 31:
                print("signed URL:", ascii(rest[0].decode("latin-1")))
            else:
                raise Failure("a message out of order")


def http(conf, origin, *paths):
    session = os.urandom(16)
    connection = Connection(conf, [0, session, False, None, [], None, True])
    connection.welcome()
    number, origins = connection.message()
    if number != 26:
        raise Failure("no origins")
    print("origins:", *(name + (" (plain)" if plain else "") for name, plain in origins))
    stream = Stream(conf, session)
    stream.connect(origin)
    for path in paths or ("/",):
        if stream.finished:
            stream = Stream(conf, session)
            stream.connect(origin)
        stream.send(f"GET {path} HTTP/1.1\r\nHost: {origin.removesuffix(':443')}\r\n\r\n".encode())
        head, body = stream.answer().split(b"\r\n\r\n", 1)
        print(path, head.split(b"\r\n")[0].decode("latin-1"), len(body), ascii(body[:60].decode("latin-1")))
    stream.connection.close()
    connection.close()


def test(conf):
    connection = Connection(conf, [1, bytes(16), False, None, [], None, False])
    number, keys, _agents, origins = connection.message()
    if number != 20:
        raise Failure("no offers")
    connection.close()
    for key in keys + origins:
        print(key)


def fetch(conf, directory, keys):
    cut = keys.index("--then") if "--then" in keys else len(keys)
    session = Session(conf, keys[:cut])
    if keys[cut + 1 :]:
        session.get(keys[cut + 1 :])
    session.finish()
    for request, key in enumerate(session.keys):
        if request in session.refused:
            print(key, "refused", session.refused[request])
            continue
        with open(os.path.join(directory, re.sub("/", "_", key)), "wb") as file:
            file.write(session.parts[request])
        print(key, session.lengths[request])


def redial(conf, key):
    first = Session(conf, [key])
    while not first.parts.get(0):
        first.take()
    first.connection.stream.close()  # no close frame: the connection breaks
    second = Session(conf, [key], first.id)
    second.finish()
    if not second.parts[0].startswith(first.parts[0]):
        raise Failure("the redial does not continue the session")
    print(f"same session, {len(second.parts[0])} bytes")


def main(command, *arguments):
    conf = Conf(os.environ["BRIDGE_CONF"])
    if command == "test":
        test(conf)
    elif command == "fetch":
        fetch(conf, arguments[0], list(arguments[1:]))
    elif command == "redial":
        redial(conf, arguments[0])
    elif command == "agent":
        agent(conf, *arguments)
    elif command == "http":
        http(conf, *arguments)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (Failure, OSError) as error:
        sys.exit(f"protocol_client.py: {error}")

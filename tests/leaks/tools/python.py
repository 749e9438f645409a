"""Writes every file of argv[1] by modules of Python into argv[2]/python3/FORM."""

import base64
import codecs
import configparser
import csv
import email.mime.text
import html
import io
import json
import logging
import os
import pathlib
import pickle
import plistlib
import pprint
import quopri
import shlex
import sqlite3
import sys
import traceback
import urllib.parse
import xml.etree.ElementTree
import xml.sax.saxutils
import zipfile
import zlib

import yaml


def config(value):
    parser = configparser.RawConfigParser()
    parser.add_section("registry")
    parser.set("registry", "password", value)
    file = io.StringIO()
    parser.write(file)
    return file.getvalue()


def rows(value, **options):
    file = io.StringIO()
    csv.writer(file, **options).writerow(["login", value, 'a "name"'])
    return file.getvalue()


def logged(value):
    file = io.StringIO()
    handler = logging.StreamHandler(file)
    logger = logging.getLogger("tool")
    logger.propagate = False
    logger.handlers = [handler]
    try:
        raise ValueError({"password": value})
    except ValueError:
        logger.exception("cannot log in with %r", value)
    return file.getvalue()


def error(value):
    try:
        raise RuntimeError("cannot log in: " + value)
    except RuntimeError:
        return traceback.format_exc()


def element(value):
    root = xml.etree.ElementTree.Element("server", password=value)
    root.text = value
    return xml.etree.ElementTree.tostring(root)


def sql(value):
    database = sqlite3.connect(":memory:")
    database.execute("create table secrets (value text)")
    database.execute("insert into secrets values (?)", [value])
    return "\n".join(database.iterdump())


def sql_file(value):
    database = sqlite3.connect(":memory:")
    database.execute("create table secrets (value text)")
    database.execute("insert into secrets values (?)", [value])
    database.commit()
    return database.serialize()


def archive(value):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("app/__init__.py", "import os\n" * 40)
        wheel.writestr("app/settings.py", value)
        wheel.writestr("app-1.dist-info/RECORD", "app/settings.py,,\n")
    return file.getvalue()


def dotenv(value):
    # python-dotenv's set_key, with quote_mode="always".
    return "export TOKEN='" + value.replace("'", "\\'") + "'\n"


def environment_file(value):
    # systemd.exec(5), EnvironmentFile=: within double quotes, a backslash before these characters.
    return 'TOKEN="' + "".join("\\" + c if c in '"\\`$' else c for c in value) + '"\n'


def powershell_json(value):
    # ConvertTo-Json of Windows PowerShell and JavaScriptSerializer of .NET: all but ASCII, and < > & ' as \uXXXX.
    short = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    def unit(c):
        if c in short:
            return short[c]
        if c in "<>&'" or not " " <= c <= "~":
            return "".join("\\u%04x" % int.from_bytes(c.encode("utf-16-be")[i : i + 2], "big")
                           for i in range(0, len(c.encode("utf-16-be")), 2))
        return c
    return '{\r\n    "Token":  "' + "".join(map(unit, value)) + '"\r\n}'


def dotnet_json(value):
    # System.Text.Json's default encoder: these too, and in upper case.
    short = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    def unit(c):
        if c in short:
            return short[c]
        if c in "<>&'\"+`" or not " " <= c <= "~":
            return "".join("\\u%04X" % int.from_bytes(c.encode("utf-16-be")[i : i + 2], "big")
                           for i in range(0, len(c.encode("utf-16-be")), 2))
        return c
    return '{"Token":"' + "".join(map(unit, value)) + '"}'


FORMS = {
    "json": lambda v: json.dumps({"token": v}),
    "json, ensure_ascii=False": lambda v: json.dumps({"token": v}, ensure_ascii=False, indent=2),
    "json in json": lambda v: json.dumps({"body": json.dumps({"token": v})}),
    "repr": repr,
    "repr of bytes": lambda v: repr(v.encode()),
    "ascii": ascii,
    "pprint": lambda v: pprint.pformat({"login": "me", "password": v}),
    "quote": urllib.parse.quote,
    "quote, safe=''": lambda v: urllib.parse.quote(v, safe=""),
    "quote_plus": urllib.parse.quote_plus,
    "urlencode": lambda v: urllib.parse.urlencode({"user": "me", "password": v}),
    "URL with user and password": lambda v: "https://me:" + urllib.parse.quote(v, safe="") + "@host.example/x",
    "b64encode": lambda v: base64.b64encode(v.encode()),
    "urlsafe_b64encode": lambda v: base64.urlsafe_b64encode(v.encode()),
    "encodebytes": lambda v: base64.encodebytes(v.encode()),
    "base64 in base64": lambda v: base64.b64encode(base64.b64encode(v.encode())),
    "hex": lambda v: v.encode().hex(),
    "hex with separators": lambda v: v.encode().hex(":"),
    "hex in upper case": lambda v: v.encode().hex().upper(),
    "html.escape": html.escape,
    "saxutils.escape": xml.sax.saxutils.escape,
    "saxutils.quoteattr": xml.sax.saxutils.quoteattr,
    "ElementTree": element,
    "xmlcharrefreplace": lambda v: v.encode("ascii", "xmlcharrefreplace"),
    "backslashreplace": lambda v: v.encode("ascii", "backslashreplace"),
    "unicode_escape": lambda v: v.encode("unicode_escape"),
    "pickle": pickle.dumps,
    "plist": lambda v: plistlib.dumps({"password": v}),
    "plist, data": lambda v: plistlib.dumps({"password": v.encode()}),
    "plist, binary": lambda v: plistlib.dumps({"password": v}, fmt=plistlib.FMT_BINARY),
    "csv": rows,
    "csv, all quoted": lambda v: rows(v, quoting=csv.QUOTE_ALL),
    "configparser": config,
    "shlex.quote": shlex.quote,
    "logging.exception": logged,
    "traceback": error,
    "yaml": lambda v: yaml.safe_dump({"data": {"token": v}}),
    "yaml, unicode": lambda v: yaml.safe_dump({"token": v}, allow_unicode=True),
    "yaml, double quotes": lambda v: yaml.safe_dump({"token": v}, default_style='"'),
    "yaml, block": lambda v: yaml.safe_dump({"a": {"token": v}}, default_style="|"),
    "Kubernetes secret": lambda v: yaml.safe_dump(
        {"kind": "Secret", "data": {"token": base64.b64encode(v.encode()).decode()}}),
    "quoted-printable": lambda v: quopri.encodestring(v.encode()),
    "MIME": lambda v: email.mime.text.MIMEText(v, "plain", "utf-8").as_bytes(),
    "sqlite dump": sql,
    "sqlite file": sql_file,
    "utf-16": lambda v: v.encode("utf-16"),
}
COMPRESSED = {
    "zlib": lambda v: zlib.compress(v.encode()),
    "wheel": archive,
}
IMITATED = {
    "Set-Content -Encoding Unicode": lambda v: codecs.BOM_UTF16_LE + (v + "\r\n").encode("utf-16-le"),
    "-EncodedCommand": lambda v: base64.b64encode(("Invoke-Login '" + v.replace("'", "''") + "'").encode("utf-16-le")),
    "ConvertTo-Json": powershell_json,
    "System.Text.Json": dotnet_json,
    "dotenv": dotenv,
    "EnvironmentFile": environment_file,
}


def write(form, name, written):
    directory = out / form
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_bytes(written.encode("utf-8", "surrogatepass") if isinstance(written, str) else written)


inputs, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
for path in sorted(inputs.iterdir()):
    value = path.read_bytes().decode()
    for form, encode in FORMS.items():
        write("python3/" + form, path.name, encode(value))
    if not path.name.endswith("~"):
        for form, encode in COMPRESSED.items():
            write("python3/" + form, path.name, encode(value))
    for form, encode in IMITATED.items():
        write("by the rules of/" + form, path.name, encode(value.removesuffix("\n")))

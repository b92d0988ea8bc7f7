"""What people's own tools print: dig, kdig, host and busybox nslookup against a running server.

Each command's output, with what varies made equal, is a file in ``golden/``. ``GOLDEN=write`` writes them anew; read
the difference before it is committed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import skip_or_fail
from tests.serving import Serve

GOLDEN = Path(__file__).parent / "golden"
EXAMPLES = Path(__file__).parents[2] / "config" / "examples"
PACKAGES = {"dig": "bind9-dnsutils", "host": "bind9-host", "kdig": "knot-dnsutils", "busybox": "busybox"}

WEB0, NGINX = "web-0.nginx.default.svc.cluster.local", "nginx.default.svc.cluster.local"
ZK = "_server._tcp.zk-headless.default.svc.cluster.local"
DIG = "dig @127.0.0.1 -p PORT"
COMMANDS = {
    "dig-default-with-cookie": f"{DIG} {WEB0}",
    "dig-tcp": f"{DIG} +tcp {WEB0}",
    "dig-noedns": f"{DIG} +noedns {WEB0}",
    "dig-bufsize-512": f"{DIG} +bufsize=512 +nocookie {ZK} SRV",
    "dig-bufsize-512-drops-glue": f"{DIG} +bufsize=512 zk-headless.default.svc.cluster.local SRV",
    "dig-subnet": f"{DIG} +nocookie +subnet=192.0.2.0/24 +ednsopt=100:abcd {WEB0}",
    "dig-two-over-one-connection": f"{DIG} +nocookie +tcp +keepopen +noall +answer +authority {WEB0} A {WEB0} AAAA",
    "dig-norecurse": f"{DIG} +norec +nocookie {NGINX}",
    "dig-dnssec-flag": f"{DIG} +dnssec +nocookie {WEB0}",
    "dig-letter-case": f"{DIG} +nocookie WeB-0.NGINX.default.SVC.cluster.LOCAL",
    "dig-aaaa-without-data": f"{DIG} +nocookie {WEB0} AAAA",
    "dig-https-without-data": f"{DIG} +nocookie {WEB0} HTTPS",
    "dig-unknown-type": f"{DIG} +nocookie {WEB0} TYPE65280",
    "dig-no-such-pod": f"{DIG} +nocookie web-9.{NGINX}",
    "dig-empty-non-terminal": f"{DIG} +nocookie _tcp.{NGINX}",
    "dig-srv-with-additional": f"{DIG} +nocookie {ZK} SRV",
    "dig-srv-of-cluster-ip": f"{DIG} +nocookie _client._tcp.zk-cs.default.svc.cluster.local SRV",
    "dig-reverse": f"{DIG} +nocookie -x 10.244.1.10",
    "dig-reverse-of-cluster-ip": f"{DIG} +nocookie -x 10.96.0.136",
    "dig-reverse-of-nobody": f"{DIG} +nocookie -x 10.244.9.9",
    "dig-any": f"{DIG} +nocookie {WEB0} ANY",
    "dig-apex-soa": f"{DIG} +nocookie cluster.local SOA",
    "dig-apex-ns": f"{DIG} +nocookie cluster.local NS",
    "dig-dns-version": f"{DIG} +nocookie dns-version.cluster.local TXT",
    "dig-not-ours": f"{DIG} +nocookie example.com",
    "dig-root-ns": f"{DIG} +nocookie . NS",
    "dig-version-bind": f"{DIG} +nocookie version.bind TXT CH",
    "dig-nsid": f"{DIG} +nocookie +nsid {WEB0}",
    "dig-id-server": f"{DIG} +nocookie id.server TXT CH",
    "dig-edns-version-1": f"{DIG} +nocookie +edns=1 +noednsneg {WEB0}",
    "dig-transfer": f"{DIG} +nocookie cluster.local AXFR",
    "dig-opcode-notify": f"{DIG} +nocookie +opcode=NOTIFY cluster.local SOA",
    # Whether kdig sends EDNS unasked depends on its version: 3.4 does, 3.2 does not.
    "kdig-noedns": f"kdig @127.0.0.1 -p PORT +noedns {WEB0}",
    "kdig-tcp-srv": f"kdig @127.0.0.1 -p PORT +noedns +tcp {ZK} SRV",
    "kdig-edns-nsid": f"kdig @127.0.0.1 -p PORT +edns +nsid {WEB0}",
    "kdig-cookie": f"kdig @127.0.0.1 -p PORT +cookie {WEB0}",
    "kdig-edns-version-1": f"kdig @127.0.0.1 -p PORT +edns=1 {WEB0}",
    "kdig-reverse": "kdig @127.0.0.1 -p PORT +noedns -x 10.244.2.10",
    "host-no-such-pod": f"host -p PORT web-9.{NGINX} 127.0.0.1",
    "host-service": f"host -p PORT {NGINX} 127.0.0.1",
    "host-forward": f"host -p PORT {WEB0} 127.0.0.1",
    "host-reverse": "host -p PORT 10.244.1.10 127.0.0.1",
    "host-srv": f"host -p PORT -t SRV {ZK} 127.0.0.1",
    "busybox-forward": f"busybox nslookup {WEB0} 127.0.0.1:PORT",
    "busybox-service": f"busybox nslookup {NGINX} 127.0.0.1:PORT",
    "busybox-srv": f"busybox nslookup -type=srv {ZK} 127.0.0.1:PORT",
    "busybox-ns": "busybox nslookup -type=ns cluster.local 127.0.0.1:PORT",
    "busybox-soa": "busybox nslookup -type=soa cluster.local 127.0.0.1:PORT",
    "busybox-reverse-by-type": "busybox nslookup -type=ptr 10.1.244.10.in-addr.arpa 127.0.0.1:PORT",
    "busybox-debug": f"busybox nslookup -debug {WEB0} 127.0.0.1:PORT",
    "busybox-reverse": "busybox nslookup 10.244.1.10 127.0.0.1:PORT",
    "busybox-no-such-pod": f"busybox nslookup web-9.{NGINX} 127.0.0.1:PORT",
    "busybox-short-name-with-a-dot": "busybox nslookup web-0.nginx 127.0.0.1:PORT",
}

# What varies from run to run, machine to machine or version to version of a tool.
_SAME = (
    (r"; <<>> DiG \S+ <<>>", "; <<>> DiG <<>>"),
    (r"-p \d+|#\d{4,}|:\d+(?=\n)|(?<=\.1)@\d+", lambda found: re.sub(r"\d+", "PORT", found[0])),
    (r"\bid: \d+", "id: ID"),
    (r"COOKIE: [0-9a-fA-F]{16}[fF]8000000[0-9a-fA-F]{24}\b", "COOKIE: CLIENT VERSION TIME HASH"),
    (r"(SOA\s+\S+ \S+|serial =) \d+", r"\1 SERIAL"),
    (r"Query time: \d+ msec", "Query time: TIME"),
    (r"in [\d.]+ ?ms", "in TIME"),
    (r"WHEN: .*|;; Received .*\n|Time .*", ""),
    (r"headlessdns \d+\.\d+\.\d+", "headlessdns VERSION"),
    (r"[ \t]+", " "),
)


_ROTATING = [re.compile(form) for form in (r"^nginx\..* IN A ", r"^nginx\..* has address ", r"^Address: 10\.")]


@pytest.fixture(scope="module")
def server() -> Iterator[Serve]:
    with Serve("--manifests", EXAMPLES, "--server-id", "headlessdns-0") as serve:
        yield serve


def normal(text: str) -> str:
    """Return *text* with what varies made equal, and the addresses of a rotating list in order."""
    for pattern, replacement in _SAME:
        text = re.sub(pattern, replacement, text)
    lines = [line.rstrip() for line in text.strip().splitlines()]
    # The nth address of a list that rotates is any of them; what stands around it stays in its place.
    for form in _ROTATING:
        places = [i for i, line in enumerate(lines) if form.search(line)]
        for place, line in zip(places, sorted(lines[i] for i in places), strict=True):
            lines[place] = line
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_transcript(name: str, server: Serve) -> None:
    """A tool prints what it printed when a person read it and found it right."""
    command = COMMANDS[name].replace("PORT", str(server.port)).split()
    if not shutil.which(command[0]):
        skip_or_fail(f"{command[0]} is missing: apt-get install {PACKAGES[command[0]]}")
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    told = normal(done.stdout + done.stderr)
    printed = f"$ {COMMANDS[name]}\n{told}[exit code {done.returncode}]\n"
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("GOLDEN") == "write":
        file.write_text(printed)
    assert printed == file.read_text()


def test_no_transcript_without_a_command() -> None:
    """Every file in ``golden/`` belongs to a command."""
    assert {file.stem for file in GOLDEN.iterdir()} == set(COMMANDS)

#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs suites that came with clients and libraries, written by others, against redis-server and a node: part of `make compat`.

    tests/compat/suites.py BUILD_DIR [SUITE ...]     all, or these; --alone: also a node without L2, for the figures

Every check that redis-server passes must pass on the node, but for those in INTENDED. Suites are fetched once into
BUILD_DIR/suites: packages of npm whose archive has their tests, phpredis' source of Debian, and what Go packages of Debian
bring along, if their tools are installed. Their sources stay as they are, but where Go says port 6379 or starts servers.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "clients"), str(HERE.parent / "journeys")]

from debian_source import fetch_source  # noqa: E402
from harness import Stage  # noqa: E402  (needs the path above)

GOCODE = pathlib.Path("/usr/share/gocode")
DEADLINE_S = 300

NPM = {  # package: (what its tests need, how they are run)
    "redlock@4.2.0": ("mocha@8 chai@4 ioredis@4 redis@3.1", "mocha --exit --reporter tap test.js"),
    "ratelimiter@3.4.1": ("mocha@8 should@13 ioredis@4.14.1 redis@2.8.0 async@3.1.0",
                          "mocha --exit --reporter tap -r should test/index.js"),
    "catbox-redis@4.2.4": ("code@5 lab@17 catbox@10 redis-parser@3", "lab -l -L -m 5000 -r tap test/index.js"),
    "rolling-rate-limiter@0.4.2": ("jest@29 ts-jest@29 typescript@4.9 @types/jest@29 @types/node@18 ioredis@5 redis@4",
                                   "jest --rootDir . lib --forceExit --json"),
    "mqemitter-redis@7.2.1": ("ioredis@5", "node --test --test-reporter=tap test/base.js"),
    "@fastify/redis@9.0.0": ("fastify@5 proxyquire@2 why-is-node-running@2", "node --test --test-reporter=tap test/index.test.js"),
    "@fastify/rate-limit@11.2.0": ("@sinonjs/fake-timers@15 fastify@5 ioredis@5.4.1",
                                   "node --test --test-reporter=tap test/redis-rate-limit.test.js"),
}

REFUSED = "a node is no replica, keeps no files and moves no keys to other servers (docs/differences.txt)"
INTENDED = {
    "go-redis.v2": {"TestCmdBgRewriteAOF": REFUSED, "TestCmdBgSave": REFUSED, "TestCmdSave": REFUSED, "TestSlaveOf": REFUSED,
                    "TestCmdKeysMigrate": REFUSED},
    "go-redis.v5": {"Commands server [It] should Save": REFUSED, "Commands server [It] should SlaveOf": REFUSED,
                    "Commands keys [It] should Migrate": REFUSED,
                    "Commands server [It] should BgRewriteAOF": REFUSED},
}


# --- what they print: {name of a check: passed} --------------------------------------------------------------------------

def read_tap(printed):
    found = re.findall(r"^ *(not ok|ok) \d+ (?:\(\d+\) )?(?:- )?(.*)$", printed, re.M)
    return {f"{name} #{at}": word == "ok" for at, (word, name) in enumerate(found) if "# SKIP" not in name}


def read_jest(printed):
    report = json.loads(next(line for line in printed.splitlines() if line.startswith("{")))
    return {f"{check['fullName']} #{at}": check["status"] == "passed"
            for one in report["testResults"] for at, check in enumerate(one["assertionResults"])}


def read_phpredis(printed):
    return {name: word == "PASSED" for name, word in re.findall(r"^(test\w+)\s[^\[]*\[(PASSED|FAILED)\]", printed, re.M)}


def read_gocheck(printed):
    return {name: word == "PASS" for word, name in re.findall(r"^(PASS|FAIL|PANIC): \S+ \w+\.(\w+)", printed, re.M)}


def read_ginkgo(printed):
    """Names only those that fail."""
    failed = {name.strip(): False for name in re.findall(r"^\[(?:Fail|Panic!)\] (.*)$", printed, re.M)}
    passed = int(re.search(r"(\d+) Passed", printed).group(1))
    return {**{f"#{at}": True for at in range(passed)}, **failed}


# --- how they are fetched and run ------------------------------------------------------------------------------------------

def call(*argv, cwd=None, env=None, check=True):
    """Its output. A suite's failures are in there; what is to be fetched or built must work."""
    try:
        done = subprocess.run([str(arg) for arg in argv], cwd=cwd, env={**os.environ, **(env or {})}, timeout=DEADLINE_S, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except subprocess.TimeoutExpired as late:
        return (late.stdout or b"").decode(errors="replace")
    printed = done.stdout.decode(errors="replace")
    if check and done.returncode != 0:
        raise RuntimeError(f"{argv}: exit {done.returncode}\n{printed[-2000:]}")
    return printed


class NpmSuite:
    def __init__(self, package):
        self.name, (self.needs, self.command) = package, NPM[package]

    def fetch(self, folder):
        self.folder = folder / re.sub(r"\W", "-", self.name)
        if not (self.folder / "fetched").exists():
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            call("npm", "pack", self.name, cwd=self.folder)
            call("tar", "xzf", next(self.folder.glob("*.tgz")), "--strip-components=1", cwd=self.folder)
            about = json.loads((self.folder / "package.json").read_text())
            about.pop("devDependencies", None)
            (self.folder / "package.json").write_text(json.dumps(about))
            call("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", *self.needs.split(), cwd=self.folder)
            (self.folder / "fetched").touch()
        return True

    def run(self, server):
        program, *args = self.command.split()
        program = program if program == "node" else self.folder / "node_modules" / ".bin" / program
        printed = call(program, *args, cwd=self.folder, check=False,
                       env={"SUITE_PORT": str(server.port), "NODE_OPTIONS": f"--require {HERE / 'port.cjs'}"})
        return (read_jest if "--json" in args else read_tap)(printed)


class PhpSuite:
    name = "phpredis"

    def fetch(self, folder):
        if shutil.which("php") is None or "redis" not in call("php", "-m"):
            return False
        folder = folder / "phpredis"
        if not list(folder.glob("*/*/tests/TestRedis.php")):
            folder.mkdir(parents=True, exist_ok=True)
            fetch_source("php-redis", folder, "--download-only")
            call("tar", "xf", next(folder.glob("*.orig.tar.*")), cwd=folder)
        self.folder = max(folder.glob("*/*/tests" if list(folder.glob("*/*/tests")) else "*/tests"))
        return True

    def run(self, server):
        return read_phpredis(call("php", "-d", "log_errors=0", "TestRedis.php", "--host", "127.0.0.1", "--port", server.port, "--nocolors",
                                  cwd=self.folder, check=False, env={"TEST_PHP_ARGS": "-d log_errors=0"}))


class GoSuite:
    def __init__(self, version):
        self.name, self.version = f"go-redis.{version}", version

    def fetch(self, folder):
        source = GOCODE / "src" / "gopkg.in" / f"redis.{self.version}"
        if shutil.which("go") is None or not source.exists():
            return False
        self.folder = folder / "go" / "src" / "gopkg.in" / source.name
        if not (self.folder / "suite.test").exists():
            shutil.rmtree(self.folder, ignore_errors=True)
            shutil.copytree(source, self.folder)
            for name in "cluster_test sentinel_test ring_test bench_test example_test".split():
                if self.version == "v5" or name in ("sentinel_test", "example_test"):
                    (self.folder / f"{name}.go").unlink(missing_ok=True)
            (self.patch_v5 if self.version == "v5" else self.patch_v2)()
            call("go", "test", "-c", "-o", "suite.test", ".", cwd=self.folder,
                 env={"GOPATH": f"{folder}/go:{GOCODE}", "GO111MODULE": "off", "GOCACHE": f"{folder}/gocache"})
        return True

    def patch_v2(self):
        path = self.folder / "redis_test.go"
        text = path.read_text().replace("import (", 'import (\n\t"os"', 1)
        text = text.replace('const redisAddr = ":6379"', 'var redisAddr = ":" + os.Getenv("SUITE_PORT")')
        path.write_text(text.replace('Addr: ":6379"', "Addr: redisAddr"))

    def patch_v5(self):
        """No servers of its own: those of cluster and sentinels are not what is looked at."""
        path = self.folder / "main_test.go"
        text = path.read_text()
        text = text[:text.index("var (\n\tredisMain ")] + text[text.index("//func TestGinkgoSuite"):]
        text = re.sub(r"^//(func TestGinkgoSuite|\t(?:Reg|Run)|\})", r"\1", text, flags=re.M)
        path.write_text(text.replace('"6380"', 'os.Getenv("SUITE_PORT")').replace("const (\n\tredisPort", "var (\n\tredisPort"))
        path = self.folder / "redis_test.go"
        path.write_text(path.read_text().replace('"Redis<:6380 db:15>"', '"Redis<" + redisAddr + " db:15>"'))

    def run(self, server):
        args = ["-ginkgo.noColor", "-ginkgo.seed", "1"] if self.version == "v5" else ["-check.v"]
        printed = call(self.folder / "suite.test", "-test.v", *args, cwd=self.folder, check=False, env={"SUITE_PORT": str(server.port)})
        return (read_ginkgo if self.version == "v5" else read_gocheck)(printed)


# --- the comparison ---------------------------------------------------------------------------------------------------------

def compare(suite, passed, on_node):
    """Prints what redis-server passes and the node does not, but means to; the number of checks."""
    intended = INTENDED.get(suite.name, {})
    lost = [name for name, ok in on_node.items() if not ok and name not in intended and passed.get(name, True)]
    lost += [name for name, ok in passed.items() if ok and name not in on_node and not name.startswith("#")]
    for name in sorted(lost):
        print(f"    FAIL {suite.name}: {name}", flush=True)
    return len(lost)


def main():
    names = [arg for arg in sys.argv[2:] if not arg.startswith("--")]
    suites = [PhpSuite(), *map(NpmSuite, NPM), GoSuite("v2"), GoSuite("v5")]
    lost = 0
    with tempfile.TemporaryDirectory() as scratch, Stage(scratch) as stage:
        l2 = stage.redis()
        targets = {"redis-server": stage.redis(), "node": stage.node(l2=l2)}
        if "--alone" in sys.argv:
            targets["alone"] = stage.node()
        for suite in suites:
            if names and suite.name not in names:
                continue
            if not suite.fetch(pathlib.Path(sys.argv[1]).resolve() / "suites"):
                print(f"--   {suite.name}: its tools are not installed", flush=True)
                continue
            came = {}
            for kind, server in targets.items():
                server.client().flushall()
                came[kind] = suite.run(server)
            counts = ", ".join(f"{kind} {sum(checks.values())} of {len(checks)}" for kind, checks in came.items())
            print(f"     {suite.name}: {counts}", flush=True)
            lost += compare(suite, came["redis-server"], came["node"])
        if lost:
            print(stage.logs()[-4000:])
    print(f"{lost} checks of redis-server's are not the node's")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())

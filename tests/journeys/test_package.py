# SPDX-License-Identifier: BSD-3-Clause
"""What `make install` puts where, and whether a program of somebody else can be built on it: libterrace, shared and static, its
header, its man pages, and the examples against a node."""
import os
import re
import subprocess
import threading

import pytest

import harness
from harness import ROOT

pytestmark = [pytest.mark.own,
              pytest.mark.skipif("JOURNEY_SANITIZED" in os.environ, reason="what is installed is the release")]

EXAMPLES = sorted(path.stem for path in (ROOT / "client" / "examples").glob("*.c"))
HEADER = (ROOT / "client" / "terrace.h").read_text()
FUNCTIONS = set(re.findall(r"\b(terrace_\w+)\s*\(", re.sub(r"/\*.*?\*/|^#.*?$|^typedef .*?;", "", HEADER, flags=re.S | re.M)))
STRICT = ["-pedantic", "-Wall", "-Wextra", "-Werror"]


def run(*argv, **options):
    done = subprocess.run([str(arg) for arg in argv], capture_output=True, text=True, check=False, timeout=120, **options)
    assert done.returncode == 0, f"{argv}\n{done.stdout}{done.stderr}"
    return done.stdout


def make(target, destdir):
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MODE", "LIBDIR")}
    run("make", "-s", target, f"DESTDIR={destdir}", "PREFIX=/usr", cwd=ROOT, env=env)


class Package:
    """A tree into which it was installed."""

    def __init__(self, destdir):
        self.destdir, self.usr = destdir, destdir / "usr"
        self.lib = self.usr / "lib"
        make("install", destdir)

    def config(self, *arguments):
        """What pkg-config says, as a list."""
        return run("pkg-config", *arguments, env={**os.environ, "PKG_CONFIG_PATH": str(self.lib / "pkgconfig"),
                                                  "PKG_CONFIG_SYSROOT_DIR": str(self.destdir)}).split()

    def build(self, source, out, *flags, packages=("terrace",), static=False):
        """A program out of one file, as its author would do it."""
        asked = self.config("--cflags", "--libs", *(["--static"] if static else []), *packages)
        if static:
            asked = [str(self.lib / "libterrace.a") if each == "-lterrace" else each for each in asked]
        run("gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", *flags, source, "-o", out, *asked, "-pthread")
        return out

    def run(self, program, *arguments):
        return run(program, *arguments, env={**os.environ, "LD_LIBRARY_PATH": str(self.lib)})

    def man(self):
        return sorted(path for path in (self.usr / "share" / "man").rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return Package(tmp_path_factory.mktemp("package") / "root")


@pytest.fixture(scope="module")
def node(module_stage):
    path = module_stage.folder / "package.conf"
    path.write_text("[namespace slow]\nprefix = slow:\nformat = managed\nttl = 1h\n")
    return module_stage.node(path, l2=module_stage.redis())


def endpoints(node):
    return f"endpoints=127.0.0.1:{node.port}&timeout=10s" + ("&tls=yes&tls-verify=no" if node.tls else "")


# --- the header ---

@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("language", [("c", "c11"), ("c++", "c++17")], ids=["c11", "c++17"])
def test_the_header_compiles_alone_without_a_word(package, compiler, language):
    run(compiler, "-x", language[0], f"-std={language[1]}", *STRICT, "-fsyntax-only", package.usr / "include" / "terrace.h")


AROUND = """
#include <terrace.h>
#include <stdio.h>
void use(const void *data, size_t size);
void on_done(void *arg, const struct terrace_result *result);
void on_change(void *arg, const void *key, size_t key_size);
void on_closed(void *arg);
%s
"""
WITHIN = """
void example_%d(struct terrace *terrace, struct terrace_async *client, struct terrace_options *options, struct uv_loop_s *loop, void *arg)
{
    char error[TERRACE_ERROR_SIZE];
    struct terrace_value value = {0};
    enum terrace_status status = TERRACE_OK;
    uint64_t id = 0;
    {
%s
    }
}
"""


def examples_of_the_header():
    """What stands indented in its comments."""
    for comment in re.findall(r"/\*.*?\*/", HEADER, re.S):
        lines = [re.sub(r"^(/\*| *\*/?) ?", "", line) for line in comment.removesuffix("*/").splitlines()]
        for run_of in re.findall(r"(?:^  .*\n?)+", "\n".join(line.rstrip() for line in lines), re.M):
            yield run_of


def test_the_examples_in_the_header_compile_and_each_function_has_one(tmp_path, package):
    shown = list(examples_of_the_header())
    functions = [text for text in shown if text.lstrip().startswith("enum terrace_status load_page(")]
    bodies = "".join(WITHIN % (i, text) for i, text in enumerate(shown) if text not in functions)
    (tmp_path / "examples.c").write_text(AROUND % ("".join(functions) + bodies))
    run("gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-Wno-unused", "-I", package.usr / "include", "-fsyntax-only",
        tmp_path / "examples.c")
    text = "".join(shown)
    assert {name for name in FUNCTIONS if not re.search(rf"\b{name}\(", text)} == set()


def test_versions_agree():
    """That of protocol/version.h is everywhere, and is what the changelog is about; of 0.x, too, libraries are of soname 0."""
    [version] = re.findall(r'^#define TERRACE_VERSION "(\S+)"$', (ROOT / "protocol" / "version.h").read_text(), re.M)
    assert ".".join(re.search(rf"#define TERRACE_VERSION_{name} (\d+)", HEADER)[1] for name in ("MAJOR", "MINOR", "PATCH")) == version
    assert re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)[1] == version
    assert [version in run(ROOT / "build" / "release" / name, "--version") for name in ("terraced", "terrace", "terrace-bench")] == [True] * 3
    assert (ROOT / "build" / "release" / f"libterrace.so.{version}").exists()


# --- the libraries ---

def test_the_shared_library_shows_what_the_header_declares_and_nothing_else(package):
    rows = [line.split() for line in run("nm", "-D", "--defined-only", package.lib / "libterrace.so").splitlines()]
    names = {row[2].split("@")[0] for row in rows if row[1] != "A"}
    assert names == FUNCTIONS
    assert all("@LIBTERRACE_0" in row[2] for row in rows if row[1] != "A")
    dynamic = run("readelf", "-d", package.lib / "libterrace.so")
    assert "Library soname: [libterrace.so.0]" in dynamic
    needed = set(re.findall(r"NEEDED.*\[(\w+?)\.so", dynamic))
    assert needed <= {"libuv", "libprotobuf-c", "libxxhash", "libssl", "libcrypto", "libc", "libm", "libpthread"}, needed


def test_the_archive_shows_the_same(package):
    rows = [line.split() for line in run("nm", "-g", "--defined-only", package.lib / "libterrace.a").splitlines()]
    assert {row[2] for row in rows if len(row) == 3} == FUNCTIONS


def test_the_library_cannot_end_the_process_or_write_to_a_terminal(package):
    rows = [line.split() for line in run("nm", "-D", "--undefined-only", package.lib / "libterrace.so").splitlines()]
    used = {row[-1].split("@")[0] for row in rows}
    assert "malloc" in used, "the list is what it seems"
    assert not used & {"abort", "exit", "_exit", "__assert_fail", "raise", "kill", "stderr", "stdout", "printf", "fprintf", "puts",
                       "perror", "syslog", "signal", "sigaction", "__printf_chk", "__fprintf_chk"}


COLLIDING = """
#include <terrace.h>
#include <stdio.h>
int check_failed, native_frame_read;
int buf_append(void) { return 1; }
int l1_get(void) { return 2; }
int near_get(void) { return 3; }
int main(void)
{
    struct terrace_options *options = terrace_options_new();
    char error[TERRACE_ERROR_SIZE] = "";
    enum terrace_status status = terrace_options_set(options, "timeout", "soon", error, sizeof error);
    terrace_options_free(options);
    (void)printf("%s %d%d%d\\n", terrace_status_name(status), buf_append(), l1_get(), near_get());
    return error[0] == '\\0';
}
"""


@pytest.mark.parametrize("static", [False, True], ids=["shared", "static"])
def test_an_application_may_have_functions_called_as_ours(package, tmp_path, static):
    (tmp_path / "app.c").write_text(COLLIDING)
    program = package.build(tmp_path / "app.c", tmp_path / "app", static=static)
    assert package.run(program) == "BAD_ARGUMENT 123\n"
    assert ("libterrace" in run("readelf", "-d", program)) is not static


# --- the examples, which are programs of somebody else ---

@pytest.fixture(scope="module", params=["shared", "static"])
def examples(request, package, tmp_path_factory):
    """{name: program} of all examples, and how to run one."""
    folder, static = tmp_path_factory.mktemp(request.param), request.param == "static"
    programs = {name: package.build(ROOT / "client" / "examples" / f"{name}.c", folder / name, *STRICT, static=static,
                                    packages=("terrace", "libuv") if name == "async_loop" else ("terrace",)) for name in EXAMPLES}
    return lambda name, *arguments: package.run(programs[name], *arguments)


def test_every_example_is_run_here():
    here = (ROOT / "tests" / "journeys" / "test_package.py").read_text()
    assert EXAMPLES and all(f'examples("{name}"' in here or f'"{name}.c"' in here for name in EXAMPLES), EXAMPLES


def test_a_value_is_written_and_read_and_deleted(examples, node):
    said = examples("get_set", endpoints(node)).splitlines()
    assert said[0] == "set: OK"
    assert re.fullmatch(r'example:greeting: OK "hello", at most \d+ ms behind', said[1])
    assert said[2:] == ["delete: OK", "example:greeting: MISS (ABSENT)"]


def test_a_cache_that_is_not_there_is_a_miss(examples):
    said = examples("get_set", f"endpoints=127.0.0.1:{harness.free_port()}&timeout=300ms").splitlines()
    why = "(UNREACHABLE|DEADLINE)"  # which comes first
    assert re.fullmatch(f"set: {why}", said[0])
    assert re.fullmatch(rf"example:greeting: MISS \({why}\)", said[1])


@pytest.mark.parametrize("key", ["example:slow", "slow:page"])
def test_one_of_eight_threads_loads(examples, node, key):
    node.client().delete(key)
    assert examples("get_or_load", endpoints(node), key) == "8 threads, 8 values, 1 loads\n"
    assert examples("get_or_load", endpoints(node), key) == "8 threads, 8 values, 0 loads\n"


def test_a_thousand_requests_are_under_way_on_a_loop_of_the_application(examples, node):
    assert examples("async_loop", endpoints(node)) == "1000 set, 1000 read back, the timer went on: yes\n"


def test_a_copy_in_the_program_s_memory_follows_what_is_written(examples, node):
    assert examples("near_cache", endpoints(node)) == "first: read from near\nsecond: read from near\ncopies kept: yes\n"


def test_what_changes_is_told(package, node, tmp_path):
    program = package.build(ROOT / "client" / "examples" / "watch.c", tmp_path / "watch", *STRICT)
    with subprocess.Popen([program, endpoints(node), "example:watched:", "1"], stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "LD_LIBRARY_PATH": str(package.lib)}) as child, node.wire() as conn:
        patience = threading.Timer(30, child.kill)
        patience.start()
        try:
            assert child.stdout.readline() == "any key may have changed\n"  # from here on nothing is missed
            conn.ask("SET", "example:other", "x")
            conn.ask("SET", "example:watched:one", "x")
            assert child.stdout.readline() == "example:watched:one\n"
            assert child.wait(20) == 0
        finally:
            patience.cancel()
            child.kill()


# --- man pages, completions, and the way back ---

def test_every_function_has_a_man_page_and_mandoc_finds_nothing_wrong(package):
    pages = package.man()
    named = {f"{path.stem}({path.suffix[1:]})" for path in pages}
    assert {f"{name}(3)" for name in FUNCTIONS} <= named
    assert {"libterrace(3)", "terrace(1)", "terraced(8)", "terrace-options(5)"} <= named
    real = [path for path in pages if not path.is_symlink()]
    done = subprocess.run(["mandoc", "-T", "lint", *real], capture_output=True, text=True, check=False)
    # It looks for pages that others refer to in its own folders alone, where these are not; so that is done here.
    assert [line for line in (done.stdout + done.stderr).splitlines() if "referenced manual not found" not in line] == []
    referred = {f"{name}({section})" for path in real for name, section in re.findall(r"^\.Xr (\S+) (\d)", path.read_text(), re.M)}
    assert referred <= named, referred - named


def test_man_pages_name_every_option_of_the_tables(package):
    tables = {"terraced.8": ["server/options.def", "server/namespace_options.def"], "terrace-options.5": ["client/options.def"]}
    for name, sources in tables.items():
        [path] = [path for path in package.man() if path.name == name]
        shown = run("mandoc", "-T", "utf8", "-O", "width=300", path)
        shown = re.sub(".\b", "", shown)
        for source in sources:
            options = re.findall(r'^OPTION\((?:\w+, \w+, )?"([^"]+)"', (ROOT / source).read_text(), re.M)
            assert len(options) > 10
            missing = [option for option in options if not re.search(rf"^ +{re.escape(option)}( |$)", shown, re.M)]
            assert missing == [], (name, missing)


def test_completions_are_what_the_shells_take(package):
    share = package.usr / "share"
    run("bash", "-n", share / "bash-completion" / "completions" / "terrace")
    assert (share / "zsh" / "site-functions" / "_terrace").read_text().startswith("#compdef terrace")


def test_uninstall_leaves_no_file(tmp_path):
    package = Package(tmp_path / "root")
    assert len([path for path in package.destdir.rglob("*") if path.is_file()]) > 40
    make("uninstall", package.destdir)
    assert [path for path in package.destdir.rglob("*") if not path.is_dir() or path.is_symlink()] == []


# --- the service ---

def test_the_unit_starts_what_was_installed_with_the_configuration_that_was(package):
    unit = (package.usr / "lib" / "systemd" / "system" / "terraced.service").read_text()
    program, conf = re.search(r"^ExecStart=(\S+) (\S+)$", unit, re.M).groups()
    assert os.access(f"{package.destdir}{program}", os.X_OK)
    assert "good" in run(f"{package.destdir}{program}", f"{package.destdir}{conf}", "--check-config")
    assert "/usr/local" not in unit


def test_a_configuration_that_was_changed_is_kept(tmp_path):
    package = Package(tmp_path / "root")
    conf = package.destdir / "etc" / "terrace" / "terraced.conf"
    conf.write_text("threads = 3\n")
    make("install", package.destdir)
    make("uninstall", package.destdir)
    assert conf.read_text() == "threads = 3\n"


def test_a_pattern_is_warmed_and_waited_for(examples, node):
    with node.wire() as conn:
        conn.ask("MSET", "warmed:1", "a", "warmed:2", "b")
    said = examples("warm", endpoints(node), "warmed:*")  # those of the other examples are many
    assert re.fullmatch(r"job \d+ done: [012] loaded, 0 failed\n", said), said

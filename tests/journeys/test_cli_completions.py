# SPDX-License-Identifier: BSD-3-Clause
"""What bash and zsh propose behind `terrace`, asked of the shells themselves."""

import os
import pty
import select
import shutil
import subprocess
import time

import pytest

import cli
from cli import TERRACE, environment

pytestmark = pytest.mark.own


def script(shell):
    done = cli.run("completions", shell)
    assert done.code == 0
    return done.text


# --- bash -------------------------------------------------------------------------------------------------------------

def bash_proposes(*words):
    """What TAB behind these words would propose; the last one is the one begun."""
    program = script("bash") + '\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _terrace; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-u", "-c", program, "bash", "terrace", *words], capture_output=True, text=True, check=True,
                          cwd=os.path.dirname(os.path.abspath(__file__)))
    assert done.stderr == "", done.stderr
    return set(done.stdout.split())


def test_bash_takes_the_script():
    assert subprocess.run(["bash", "-n"], input=script("bash"), capture_output=True, text=True, check=True).stderr == ""


def test_bash_proposes_every_verb_that_the_help_names():
    verbs = {line.split()[0] for line in cli.run("--help").text.split("\n\n")[1].splitlines()}
    assert {"get", "doctor", "completions"} < verbs and bash_proposes("") == verbs
    assert bash_proposes("na") == {"namespaces"}


def test_bash_knows_options_their_values_and_first_words():
    assert {"--ttl", "--tag", "--nx", "--node", "--json"} <= bash_proposes("set", "k", "--")
    assert "--ttl" not in bash_proposes("nodes", "--")
    assert bash_proposes("--color", "") == {"auto", "always", "never"}
    assert bash_proposes("top", "--sort", "n") == {"name"}
    assert bash_proposes("top", "--sort", "=", "h") == {"hits"}  # bash cuts words at =
    assert bash_proposes("invalidate", "") == {"key", "tag", "prefix", "pattern", "all"}
    assert bash_proposes("invalidate", "--soft", "p") == {"prefix", "pattern"}
    assert bash_proposes("invalidate", "tag", "") == set()
    assert bash_proposes("set", "--ttl", "") == set()
    assert "test_cli.py" in bash_proposes("check", "test_c")


def test_bash_finds_the_verb_behind_options():
    assert "--count" in bash_proposes("--node", "127.0.0.1:1", "--json", "ping", "--c")
    assert "--count" in bash_proposes("--node", "=", "127.0.0.1:1", "ping", "--c")
    assert bash_proposes("--node", "h:1", "sta") == {"stats"}


# --- zsh --------------------------------------------------------------------------------------------------------------

class Zsh:
    """One on a terminal, with the script as its function, as a distribution installs it."""

    def __init__(self, folder):
        (folder / "_terrace").write_text(script("zsh"))
        (folder / ".zshrc").write_text(f'PS1="READY> "; fpath=({folder} $fpath); PATH={os.path.dirname(TERRACE)}:$PATH\n'
                                       "autoload -U compinit; compinit -u -D\n"
                                       "zstyle ':completion:*' list-prompt ''; LISTMAX=1000; setopt no_beep; unsetopt prompt_sp prompt_cr\n"
                                       "bindkey '^I' expand-or-complete; zstyle ':completion:*' menu no\n")
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe("zsh", ["zsh", "-i"], environment(ZDOTDIR=str(folder), TERM="dumb", HOME=str(folder)))
        self.shown = b""  # not yet looked at
        self.wait_for("READY> ")

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        os.close(self.fd)

    def wait_for(self, *texts, deadline_s=30):
        """All of them have come, in any order; what came up to there is looked at, and not again."""
        ends_at = time.monotonic() + deadline_s
        while not all(text.encode() in self.shown for text in texts):
            assert time.monotonic() < ends_at, f"no {texts}: {self.shown[-2000:]!r}"
            if select.select([self.fd], [], [], 0.5)[0]:
                self.shown += os.read(self.fd, 65536)
        end = max(self.shown.index(text.encode()) + len(text) for text in texts)
        looked_at, self.shown = self.shown[:end], self.shown[end:]
        return looked_at.decode(errors="replace")

    def complete(self, line, *expected):
        """Types the line and TAB, waits for each text, none of which is in the line; then gives the line up."""
        os.write(self.fd, line.encode() + b"\t")
        shown = self.wait_for(*expected)
        os.write(self.fd, b"\x15")
        os.write(self.fd, b"print LINE-$((40 + 2))\r")
        self.wait_for("LINE-42")
        self.wait_for("READY> ")
        return shown


@pytest.fixture(scope="module")
def zsh(tmp_path_factory):
    assert shutil.which("zsh"), "zsh is not installed: make deps"
    with Zsh(tmp_path_factory.mktemp("zsh")) as shell:
        yield shell


def test_zsh_takes_the_script():
    done = subprocess.run(["zsh", "-n", "/dev/stdin"], input=script("zsh"), capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_zsh_completes_verbs_options_and_words(zsh):
    zsh.complete("terrace namesp", "namespaces ")
    zsh.complete("terrace e", "explain ")
    zsh.complete("terrace ", "doctor", "Look for what is wrong", "watch")
    zsh.complete("terrace --color ", "auto", "always", "never")
    zsh.complete("terrace top --so", "--sort")
    zsh.complete("terrace invalidate ", "prefix", "pattern")
    zsh.complete("terrace set k v --t", "--tag", "--ttl", "--timeout")
    zsh.complete("terrace --node h:1 pin", "ping ")

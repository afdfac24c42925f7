#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes the man pages out of what they are about, so that they say what is there: section 3 of client/terrace.h, one page per
part of it; terrace-options(5) of client/options.def; terraced(8) of server/options.def and server/namespace_options.def;
terrace(1) of what the program says with --help. The words around that stand in *.in beside this file.

    docs/man/make.py VERSION TERRACE FOLDER    TERRACE: the program; writes FOLDER/man1/terrace.1 ...

Of the header: `/* --- name --- */` begins a page. The comment in front of a declaration, without a blank line between, or
behind it on its line, is what the page says of it; any other comment is about the page as a whole. Lines of a comment that are
indented by more than others are shown as they stand.
"""
import datetime
import os
import pathlib
import re
import shutil
import subprocess
import sys
import textwrap

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
QUOTED = r'"((?:[^"\\]|\\.)*)"'
WIDTH = 78


def date():
    """Of the last change of the tree, so that the same tree makes the same pages; without git, today."""
    asked = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not asked and shutil.which("git"):
        asked = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    day = datetime.datetime.fromtimestamp(int(asked), datetime.timezone.utc) if asked.strip() else datetime.datetime.now()
    return f"{day:%B} {day.day}, {day.year}"


# --- text as mdoc ---

def escape(text):
    return text.replace("\\", "\\e")


def quoted(text):
    """`this` as a quotation, in which a dash is a minus."""
    return re.sub(r"`([^`]*)`", lambda found: "\\(oq" + found[1].replace("-", "\\-") + "\\(cq", escape(text))


def guarded(line):
    """A line that is no macro, whatever it begins with."""
    return "\\&" + line if line[:1] in (".", "'") else line


def words(text):
    """Running text: a sentence begins on a line of its own."""
    lines = []
    for sentence in re.split(r"(?<=[.!?:])\s+(?=[A-Z`\"])", " ".join(text.split())):
        lines += textwrap.wrap(quoted(sentence), WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join(guarded(line) for line in lines)


def literal(text):
    shown = [escape(line).replace("-", "\\-") for line in textwrap.dedent(text).rstrip().splitlines()]
    return "\n".join([".Bd -literal -offset indent", *map(guarded, shown), ".Ed"])


def paragraphs(blocks):
    """Displays and lists begin a paragraph by themselves."""
    return re.sub(r"\n\.Pp\n(?=\.B[dl])", "\n", "\n.Pp\n".join(block for block in blocks if block))


def prose(text):
    """A comment's text: paragraphs, and indented blocks as they stand."""
    out = []
    for block in re.split(r"\n\s*\n", text.rstrip()):
        for shown, part in split_indented(block):
            out.append(literal(part) if shown else words(part))
    return paragraphs(out)


LABEL = re.compile(r"(Owns|Threads|Units|Limits|Errors):\s")


def split_indented(block):
    """(is it shown as it stands, lines) of runs of lines. A line `Threads: ...`, as headers have them, is a run of its own, with what hangs below it."""
    runs = []
    for line in block.splitlines():
        indented, labelled = line.startswith("  "), bool(LABEL.match(line))
        hangs = indented and runs and LABEL.match(runs[-1][1][0])
        if runs and not labelled and (hangs or runs[-1][0] == indented and not LABEL.match(runs[-1][1][0])):
            runs[-1][1].append(line)
        else:
            runs.append((indented, [line]))
    return [(shown, "\n".join(lines)) for shown, lines in runs]


def argument(text):
    """One argument of a macro."""
    return '"' + escape(text).replace('"', "\\(dq").replace("-", "\\-") + '"'


def item(name, value, text):
    tail = f" Pq {argument(value)}" if value else ""
    return f".It Ic {argument(name)}{tail}\n{words(text)}"


def fill(template, holes):
    page = (HERE / template).read_text(encoding="utf-8")
    for name, text in holes.items():
        page = page.replace(f"@{name}@", text.rstrip("\n"))
    left = re.findall(r"@[A-Z_]+@", page)
    assert not left, f"{template}: nothing for {left}"
    return page


# --- settings ---

def sentence(text):
    text = text.strip()
    begins_with_a_name = re.match(r"[^ ,]+:", text)
    return (text[:1] if begins_with_a_name else text[:1].upper()) + text[1:] + ("" if text.endswith((".", "!", "?", ":")) else ".")


def unescape(text):
    return text.replace('\\"', '"').replace("\\\\", "\\")


def settings(path):
    found = re.findall(rf'^OPTION\(\w+, \w+, {QUOTED}, {QUOTED}, [^,]+, [^,]+, (\w+), {QUOTED}\)', (ROOT / path).read_text(), re.M)
    assert found, f"{path} has no options"
    return "\n".join(item(name, unescape(preset), sentence(unescape(text)) + (" Live." if when == "LIVE" else ""))
                     for name, preset, when, text in found)


def client_options():
    found = re.findall(rf'^OPTION\({QUOTED},\s*(\w+),\s*\w+,\s*{QUOTED},.*?(NULL|{QUOTED}),\s*{QUOTED}\)\s*$',
                       (ROOT / "client" / "options.def").read_text(), re.M)
    assert found, "client/options.def has no options"
    return "\n".join(item(name, unescape(preset), (f"One of {choices.replace('|', ', ')}. " if choices else "") + unescape(text))
                     for name, _, preset, _, choices, text in found)


# --- the command line ---

def said(program, *arguments):
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=True).stdout


def columns(text):
    """[(left, right)] of lines of two columns, with what goes on below."""
    rows = []
    for line in text.splitlines():
        row = re.match(r"  (\S.*?)(?:\s{2,}|(?<=\.\.\.) )(\S.*)$", line)
        if row and len(line) - len(line.lstrip()) <= 6:
            rows.append([row[1], row[2]])
        elif rows and line.startswith("        "):
            rows[-1][1] += " " + line.strip()
    return rows


def option_items(text):
    return "\n".join(f".It Ic {argument(left)}\n{words(sentence(right))}" for left, right in columns(text) if left.startswith("-"))


def verb_part(program, name):
    text = said(program, name, "--help")
    usage, rest = re.match(r"Usage: (.*)\n((?:.*\n?)*)", text).groups()
    paragraphs = [part for part in re.split(r"\n\s*\n", rest) if part.strip()]
    out = [f".Ss {name}", f".Ic {argument(usage)}"]
    for part in paragraphs:
        if part.startswith("  "):
            out.append(".Bl -tag -width Ds\n" + option_items(part) + "\n.El")
        else:
            out.append(".Pp\n" + "\n.br\n".join(words(line) for line in part.splitlines()))
    return "\n".join(out)


def command_line(program):
    blocks = re.split(r"\n\s*\n", said(program, "--help"))
    verbs = next(block for block in blocks if block.startswith("  ") and not block.lstrip().startswith("-"))
    options = next(block for block in blocks if re.search(r"^  +-", block, re.M))
    notes = [block for block in blocks[1:] if block not in (verbs, options)]
    return {"OPTIONS": option_items(options),
            "VERBS": "\n".join(verb_part(program, left.split()[0]) for left, _ in columns(verbs)),
            "NOTES": "\n.Pp\n".join(words(line) for block in notes for line in block.strip().splitlines())}


# --- the header ---

def comment_text(comment):
    """Without its stars."""
    lines = re.sub(r"\s*\*/$", "", comment[2:]).splitlines() or [""]
    return "\n".join([lines[0].strip(), *(re.sub(r"^\s*\*? ?", "", line) for line in lines[1:])]).strip("\n")


TOKEN = re.compile(r"""(?P<banner>/\*\ ---\ (?P<title>.*?)\ -+\ \*/) | (?P<comment>/\*.*?\*/) | (?P<blank>\n[ \t]*\n\s*)
                     | (?P<space>\s+) | (?P<directive>\#(?:\\\n|[^\n])*)""", re.X | re.S)


def declaration_end(text, at):
    """Behind the `;` that ends the declaration at `at`."""
    depth = 0
    while True:
        if text.startswith("/*", at):
            at = text.index("*/", at) + 2
            continue
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        at += 1
        if text[at - 1] == ";" and depth == 0:
            return at


class Part:
    """A part of the header: what it says as a whole, and [(declaration, what is said of it)]."""

    def __init__(self, title):
        self.title, self.says, self.declared = title, [], []

    def functions(self):
        return [name for name in (function_name(code) for code, _ in self.declared) if name]


def function_name(code):
    plain = re.sub(r"/\*.*?\*/", "", code, flags=re.S)
    if "{" in plain or plain.startswith("typedef"):
        return None
    found = re.match(r"[^(]*?\b(terrace_\w+)\s*\(", plain)
    return found[1] if found else None


def parts_of(header):
    text = header[header.index('extern "C"'):]
    text = text[text.index("#endif") + len("#endif"):]
    text = text[:text.rindex("#ifdef __cplusplus")]
    parts, comment, at = [Part("versions and names")], None, 0
    while at < len(text):
        token = TOKEN.match(text, at)
        if token is None:
            begin, at = at, declaration_end(text, at)
            behind = re.match(r"[ \t]*(/\*.*?\*/)", text[at:], re.S)
            at += behind.end() if behind else 0
            told = [comment_text(each) for each in (comment,) if each] + [sentence(comment_text(each[1])) for each in (behind,) if each]
            parts[-1].declared.append((text[begin:at if not behind else at - len(behind[0])], "\n\n".join(told)))
            comment = None
            # Declarations that follow without a blank line share the comment in front of the first.
            continue
        at = token.end()
        if token["banner"]:
            parts.append(Part(token["title"]))
        elif token["comment"]:
            if comment:
                parts[-1].says.append(comment_text(comment))
            comment = token["comment"]
        elif token["blank"] and comment:
            parts[-1].says.append(comment_text(comment))
            comment = None
        elif token["directive"] and token["directive"].startswith("#define"):
            parts[-1].declared.append((token["directive"], comment_text(comment) if comment else ""))
            comment = None
    return parts


def prototype(code):
    plain = " ".join(re.sub(r"/\*.*?\*/", "", code, flags=re.S).split()).rstrip(";")
    kind, name, arguments = re.match(r"(.*?)\b(terrace_\w+)\s*\((.*)\)$", plain).groups()
    fields = "".join(f"\n.Fa {argument(each.strip())}" for each in arguments.split(","))
    return f".Ft {argument(kind.strip())}\n.Fo {name}{fields}\n.Fc"


def description(part):
    """What it says as a whole, then types as they stand and a list of the functions that have something said of them."""
    blocks = [prose(text) for text in part.says]
    for code, says in part.declared:
        name = function_name(code)
        if name and says:
            told = f".It Fn {name}\n{prose(says)}\n.El"
            if blocks and blocks[-1].endswith("\n.El"):
                blocks[-1] = blocks[-1][:-len(".El")] + told
            else:
                blocks.append(f".Bl -tag -width Ds\n{told}")
        elif not name and (says or not re.match(r"struct \w+;$", code)):
            blocks.append(paragraphs([literal(code), prose(says)]))
    return paragraphs(blocks)


def page_of(part, stamp):
    names = part.functions()
    listed = " ,\n.Nm ".join(names)
    synopsis = "\n".join(prototype(code) for code, _ in part.declared if function_name(code))
    return (f".Dd {stamp['DATE']}\n.Dt {names[0].upper()} 3\n.Os\n.Sh NAME\n.Nm {listed}\n"
            f".Nd libterrace: {part.title}\n.Sh SYNOPSIS\n.In terrace.h\n{synopsis}\n.Sh DESCRIPTION\n{description(part)}\n"
            ".Sh SEE ALSO\n.Xr libterrace 3 ,\n.Xr terrace-options 5\n")


def overview(header):
    comment = next(each for each in re.findall(r"/\*.*?\*/", header, re.S) if "SPDX" not in each)
    return prose(re.sub(r"^terrace\.h -- ", "", comment_text(comment)))


def library(stamp):
    """({file: text}, {file: the one that it is another name of}) of section 3."""
    header = (ROOT / "client" / "terrace.h").read_text(encoding="utf-8")
    pages, others, index = {}, {}, []
    for part in parts_of(header):
        names = part.functions()
        if not names:
            continue
        pages[f"{names[0]}.3"] = page_of(part, stamp)
        others.update({f"{name}.3": f"{names[0]}.3" for name in names[1:]})
        listed = "".join(f"\n.Xr {name} 3{' ,' if name != names[-1] else ''}" for name in names)
        index.append(f".It {argument(part.title)}{listed}")
    pages["libterrace.3"] = fill("libterrace.3.in", {**stamp, "OVERVIEW": overview(header), "PAGES": "\n".join(index)})
    return pages, others


def main(version, program, folder):
    stamp = {"DATE": date(), "VERSION": version}
    pages, others = library(stamp)
    pages.update({
        "terrace.1": fill("terrace.1.in", {**stamp, **command_line(program)}),
        "terrace-options.5": fill("terrace-options.5.in", {**stamp, "OPTIONS": client_options()}),
        "terraced.8": fill("terraced.8.in", {**stamp, "SETTINGS": settings("server/options.def"),
                                             "NAMESPACE_SETTINGS": settings("server/namespace_options.def")}),
    })
    for name, text in pages.items():
        path = pathlib.Path(folder) / f"man{name[-1]}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for name, page in others.items():
        link = pathlib.Path(folder) / "man3" / name
        link.unlink(missing_ok=True)
        link.symlink_to(page)


if __name__ == "__main__":
    main(*sys.argv[1:])

# Turns what --help prints into a manual page. Input: the program's help, then the help of each of its
# commands, each after a line "@ COMMAND". Variables: program, version, others (SEE ALSO).
# A help has: usage lines, a description, an empty line; then rows ("  --flag ARG   text", continued
# by indented lines), paragraphs ("Exit codes: ..." has its heading in front), "Examples:" in lines
# to be kept.

function plain(s) {
    gsub(/\\/, "\\e", s)
    gsub(/-/, "\\-", s)
    if (s ~ /^[.']/) s = "\\&" s
    return s
}

function heading(s) {
    end_lines()
    if (command == "") print ".SH " toupper(s)
    else print ".SS " s
}

function end_lines() {
    if (keeping) print ".fi"
    keeping = 0
}

/^@ / {
    command = $2
    end_lines()
    print ".SH \"COMMAND " toupper(command) "\""
    state = "start"
    next
}

/^[Uu]sage: / {
    sub(/^[Uu]sage: /, "")
    usage[++usages] = $0
    state = "usage"
    next
}

state == "usage" && /^ +prelu-/ {
    sub(/^ +/, "")
    usage[++usages] = $0
    next
}

state == "usage" { # the first line of the description
    if (!named) {
        summary = $0
        sub(/[.:].*/, "", summary)
        print ".TH " toupper(program) " 1 \"\" \"prelu " version "\" \"User Commands\""
        print ".SH NAME"
        print program " \\- " plain(tolower(substr(summary, 1, 1)) substr(summary, 2))
        named = 1
    }
    if (command == "") print ".SH SYNOPSIS"
    print ".nf"
    for (i = 1; i <= usages; i++) print plain(usage[i])
    print ".fi"
    usages = 0
    if (command == "") print ".SH DESCRIPTION"
    else print ".PP"
    print plain($0)
    state = "text"
    next
}

/^$/ {
    end_lines()
    blank = 1
    next
}

/^[A-Z][A-Za-z ]*:$/ { # Options:  Commands:  Examples:
    title = substr($0, 1, length($0) - 1)
    heading(title)
    state = title ~ /^Examples/ ? "lines" : "rows"
    blank = 0
    next
}

state == "lines" {
    if (!keeping) print ".nf"
    keeping = 1
    sub(/^  /, "")
    print plain($0)
    next
}

/^  +[-A-Za-z\[]/ && match($0, /^ +/) && RLENGTH <= 6 { # a row
    if (state != "rows") heading("Options")
    state = "rows"
    sub(/^ +/, "")
    split($0, part, /   *|$/)
    print ".TP"
    print ".B " plain(part[1])
    text = substr($0, length(part[1]) + 1)
    sub(/^ +/, "", text)
    if (text != "") print plain(text)
    blank = 0
    next
}

/^ / {
    sub(/^ +/, "")
    print plain($0)
    next
}

{ # a paragraph
    if (blank && match($0, /^[A-Z][A-Za-z ]*: /)) {
        heading(substr($0, 1, RLENGTH - 2) == "Exit codes" ? "Exit status" : substr($0, 1, RLENGTH - 2))
        $0 = substr($0, RLENGTH + 1)
    } else if (blank && state == "rows") {
        heading("Notes")
    } else if (blank) {
        print ".PP"
    }
    state = "text"
    blank = 0
    print plain($0)
}

END {
    end_lines()
    print ".SH \"SEE ALSO\""
    n = split(others, other, " ")
    for (i = 1; i <= n; i++) print ".BR " plain(other[i]) " (1)" (i < n ? "," : "")
}

# completion.awk: what completes a command line in bash, zsh and fish, made of the table of options
# in a program's source, which makes its parser and its --help as well (arguments.h).
#
#   awk -v program=forkecho -v shell=fish -f src/base/completion.awk src/server/options.c
#
# It reads the rows of that table, and those of echoload's modes (load/mode.c):
#   {'P', "pidfile", "FILE", "write its pid here"},

# What completes a value goes by what --help calls it; most are completed by nothing.
BEGIN {
    action["bash", "FILE"] = "-f"
    action["bash", "FOLDER"] = "-d"
    action["bash", "NAME"] = "-u"
    action["zsh", "FILE"] = "_files"
    action["zsh", "FOLDER"] = "_files -/"
    action["zsh", "NAME"] = "_users"
    action["fish", "FILE"] = "-r -F"
    action["fish", "FOLDER"] = "-x -a '(__fish_complete_directories)'"
    action["fish", "NAME"] = "-x -a '(__fish_complete_users)'"
    set_words("FACILITY", "user mail daemon auth " \
              "local0 local1 local2 local3 local4 local5 local6 local7")
    set_words("FORM", "text csv json hdr")
}

function set_words(value, words)
{
    action["bash", value] = "-W '" words "'"
    action["zsh", value] = "(" words ")"
    action["fish", value] = "-x -a '" words "'"
}

/^    \{('.'|[A-Z_]+), "[a-z-]+", / {
    split($0, part, "\"")
    name[++count] = part[2]
    letter[count] = substr($0, 6, 1) == "'" ? substr($0, 7, 1) : ""
    value[count] = part[3] ~ /NULL/ ? "" : part[4]
    help[count] = value[count] == "" ? part[4] : part[6]
    gsub(/'/, "'\\''", help[count]) # it will stand between single quotes
}

/^    \{"[a-z]+", LOAD_/ {
    split($0, part, "\"")
    modes = modes (modes == "" ? "" : " ") part[2]
}

# The forms of an option: -P, --pidfile, with what stands between them and behind each.
function forms(i, between, behind_letter, behind_name)
{
    return (letter[i] == "" ? "" : "-" letter[i] behind_letter between) "--" name[i] behind_name
}

function bash_replies(how)
{
    return (how ~ /^-[fd]$/ ? "compopt -o filenames && " : "") \
        "mapfile -t COMPREPLY < <(compgen " how " -- \"$word\")"
}

# The word before the cursor decides. An = of --option=value is a word of its own there.
function bash(    i, options, operand)
{
    operand = program == "forkecho" ? bash_replies("-c") : ":"
    print "_" program "()\n{"
    print "    local word=$2 option=$3"
    print "    [[ $word != = ]] || word="
    print "    [[ $option != = ]] || option=${COMP_WORDS[COMP_CWORD - 2]}"
    print "    [[ \" ${COMP_WORDS[*]:1:COMP_CWORD - 1} \" != *' -- '* ]] || option=--"
    print "    COMPREPLY=()"
    print "    case $option in"
    for (i = 1; i <= count; i++) {
        options = options " " forms(i, " ")
        if (value[i] != "")
            print "    " forms(i, " | ") ")" \
                ((shell, value[i]) in action ? " " bash_replies(action[shell, value[i]]) : "") " ;;"
    }
    print "    --) compopt -o default; " operand " ;;"
    print "    *)"
    print "        case $word in"
    print "        -*) " bash_replies("-W '" substr(options, 2) "'") " ;;"
    print "        *) " (modes == "" ? operand : bash_replies("-W '" modes "'")) " ;;"
    print "        esac\n        ;;\n    esac\n}"
    print "complete -F _" program " " program
}

# A value may stand behind a letter, and behind a name and =.
function zsh(    i, said, operands)
{
    operands = program == "forkecho" ? "'(-)1:program:_command_names -e' '*:: :_normal'" \
                                     : modes == "" ? "'*: : '" : "'1:mode:(" modes ")' '*: : '"
    print "#compdef " program
    print "_arguments -s -S \\"
    for (i = 1; i <= count; i++) {
        said = help[i]
        gsub(/[:\[\]]/, "\\\\&", said)
        said = "[" said "]"
        if (value[i] != "")
            said = said ":" value[i] ":" \
                ((shell, value[i]) in action ? action[shell, value[i]] : " ")
        print "    '*'" (letter[i] == "" ? "" : "{") \
            forms(i, ",", value[i] == "" ? "" : "+", value[i] == "" ? "" : "=") \
            (letter[i] == "" ? "" : "}") "'" said "' \\"
    }
    print "    " operands
}

function fish(    i, how, with_values)
{
    print "complete -c " program " -f"
    for (i = 1; i <= count; i++) {
        how = (shell, value[i]) in action ? action[shell, value[i]] : "-x"
        if (value[i] != "")
            with_values = with_values " " forms(i, " ")
        print "complete -c " program (letter[i] == "" ? "" : " -s " letter[i]) " -l " name[i] \
            (value[i] == "" ? "" : " " how) " -d '" help[i] "'"
    }
    if (program == "forkecho")
        print "complete -c forkecho -x -a '(__fish_complete_subcommand" with_values ")'"
    if (modes != "")
        print "complete -c " program " -a '" modes "' -n 'not __fish_seen_subcommand_from " \
            modes "'"
}

END {
    if (count == 0)
        exit 1
    if (shell == "bash")
        bash()
    else if (shell == "zsh")
        zsh()
    else
        fish()
}

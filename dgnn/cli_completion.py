"""dgnn completion: what a shell needs to complete dgnn's commands, options and their values, made from the parser itself."""

import argparse

EXAMPLES = """examples:
  source <(dgnn completion bash)                     in ~/.bashrc
  source <(dgnn completion zsh)                      in ~/.zshrc, after compinit
  dgnn completion zsh > ~/.zfunc/_dgnn               or as a file in a folder of $fpath
"""
BASH = """# bash completion of dgnn, made by: dgnn completion bash
_dgnn() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} words=""
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="{commands}"
    else
        case "${{COMP_WORDS[1]}} $word" in
{options}
        esac
        [ -n "$words" ] || case "${{COMP_WORDS[1]}} $before" in
{values}
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o bashdefault -o default -F _dgnn dgnn
"""
ZSH = """#compdef dgnn
# zsh completion of dgnn, made by: dgnn completion zsh
_dgnn() {{
    local -a commands
    commands=(
{commands}
    )
    if (( CURRENT == 2 )); then
        _describe command commands
        return
    fi
    local command=$words[2]
    shift words
    (( CURRENT -= 1 ))
    case $command in
{options}
    esac
}}
if [ "$funcstack[1]" = _dgnn ]; then _dgnn "$@"; else compdef _dgnn dgnn; fi
"""


def add_completion(commands):
    help = "print completion for a shell"
    command = commands.add_parser("completion", help=help, description=f"{help[0].upper()}{help[1:]}.", epilog=EXAMPLES,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    command.set_defaults(run=lambda options: print({"bash": bash, "zsh": zsh}[options.shell](commands), end=""))
    command.add_argument("shell", choices=["bash", "zsh"])


def shown(command):
    """Actions that help shows."""
    return [action for action in command._actions if action.help != argparse.SUPPRESS]


def options_of(command):
    return [option for action in shown(command) for option in action.option_strings]


def bash(commands):
    values, options = [], []
    for name, command in commands.choices.items():
        options.append(f'            "{name} -"*) words="{" ".join(options_of(command))}" ;;')
        for action in shown(command):
            if action.choices:
                before = "|".join(f'"{name} {option}"' for option in action.option_strings) or f'"{name} {name}"'
                values.append(f'            {before}) words="{" ".join(map(str, action.choices))}" ;;')
    return BASH.format(commands=" ".join(commands.choices), values="\n".join(values), options="\n".join(options))


def quoted(text):
    """For _arguments, inside single quotes."""
    for character in "\\[]:":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.replace("'", "'\\''").replace("%%", "%").split())


def zsh_argument(action):
    values = f"({' '.join(map(str, action.choices))})" if action.choices else "_files"
    title = quoted(str(action.metavar or action.dest).lower())
    if not action.option_strings:
        return [f"'*:{title}:{values}'" if action.nargs in ("+", "*") else f"':{title}:{values}'"]
    takes = "" if action.nargs == 0 else f":{title}:{values}"
    return [f"'{option}[{quoted(action.help or '')}]{takes}'" for option in action.option_strings]


def zsh(commands):
    helps = {action.dest: action.help for action in commands._choices_actions}
    listed = "\n".join(f"        '{name}:{quoted(helps.get(name) or '')}'" for name in commands.choices)
    arguments = {name: " ".join(one for action in shown(command) for one in zsh_argument(action))
                 for name, command in commands.choices.items()}
    options = "\n".join(f"        {name}) _arguments {told} ;;" for name, told in arguments.items())
    return ZSH.format(commands=listed, options=options)

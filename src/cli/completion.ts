import { Argument, type Command } from 'commander';
import { printLine, type Terminal } from './terminal.js';

/** One command that can be completed: its words from the first on, and what may stand after them. */
interface Completed {
  /** Such as `member add`; '' for the program itself. */
  readonly path: string;
  readonly commands: readonly Described[];
  readonly options: readonly Described[];
}

interface Described {
  readonly word: string;
  readonly description: string;
  /** Whether a value follows. */
  readonly takesValue: boolean;
}

const shells = { bash: bashScript, zsh: zshScript, fish: fishScript } as const;

export function addCompletion(program: Command, terminal: Terminal): void {
  program
    .command('completion')
    .description('print a script that lets a shell complete the words of this program')
    .addArgument(new Argument('<SHELL>', 'bash, zsh or fish').choices(Object.keys(shells)))
    .addHelpText(
      'after',
      [
        '',
        'For example, in the file that the shell reads at its start:',
        '  source <(raftkv completion bash)     # ~/.bashrc',
        '  source <(raftkv completion zsh)      # ~/.zshrc, after compinit',
        '  raftkv completion fish | source      # ~/.config/fish/config.fish',
      ].join('\n'),
    )
    .action((shell: keyof typeof shells) => {
      printLine(terminal, shells[shell](completedOf(program, '')).trimEnd());
    });
}

/** The command and all below it, as commander knows them: a script cannot differ from the help. */
function completedOf(command: Command, path: string): readonly Completed[] {
  const help = command.createHelp();
  const commands = help.visibleCommands(command);
  const own: Completed = {
    path,
    commands: commands.map((one) => ({
      word: one.name(),
      description: one.summary() || one.description(),
      takesValue: false,
    })),
    options: help
      .visibleOptions(command)
      .flatMap(({ long, description, required, optional }) =>
        long == null ? [] : [{ word: long, description, takesValue: required || optional }],
      ),
  };
  const below = commands.filter((one) => one.name() !== 'help');
  return [own, ...below.flatMap((one) => completedOf(one, `${path} ${one.name()}`.trim()))];
}

function bashScript(all: readonly Completed[]): string {
  const cases = all.map(({ path, commands, options }) => {
    const words = [...commands, ...options].map(({ word }) => word).join(' ');
    const withValue = options.filter(({ takesValue }) => takesValue).map(({ word }) => word);
    return `    '${path}') words='${words}'; values=' ${withValue.join(' ')} ' ;;`;
  });
  return `# Completion of raftkv for bash.
_raftkv() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} command='' words='' values='' word next
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    next="\${command:+$command }$word"
    case "$next" in
${commandPattern(all)}) command=$next ;;
    esac
  done
  case "$command" in
${cases.join('\n')}
  esac
  COMPREPLY=()
  # What an option takes, and what is no option and no command, are files as far as a shell can know.
  [[ $values == *" $previous "* ]] && return
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _raftkv raftkv
`;
}

function commandPattern(all: readonly Completed[]): string {
  const paths = all.map(({ path }) => path).filter((path) => path !== '');
  return `      ${paths.map((path) => `'${path}'`).join('|')}`;
}

function zshScript(all: readonly Completed[]): string {
  const cases = all.map(({ path, commands, options }) => {
    const entries = [...commands, ...options].map(
      ({ word, description }) => `'${word}:${zshText(description)}'`,
    );
    const withValue = options.filter(({ takesValue }) => takesValue).map(({ word }) => word);
    return `    '${path}') entries=(${entries.join(' ')}); values=' ${withValue.join(' ')} ' ;;`;
  });
  return `#compdef raftkv
# Completion of raftkv for zsh.
_raftkv() {
  local command='' next word values=''
  local -a entries
  for word in "\${(@)words[2,CURRENT-1]}"; do
    next="\${command:+$command }$word"
    case "$next" in
${commandPattern(all)}) command=$next ;;
    esac
  done
  case "$command" in
${cases.join('\n')}
  esac
  if [[ $values == *" \${words[CURRENT-1]} "* ]]; then
    _files
  else
    _describe 'raftkv' entries || _files
  fi
}
compdef _raftkv raftkv
`;
}

function zshText(text: string): string {
  return text.replaceAll("'", "'\\''").replaceAll(':', '\\:');
}

function fishScript(all: readonly Completed[]): string {
  const lines = all.flatMap(({ path, commands, options }) => {
    const condition = fishCondition(path, commands);
    return [
      ...commands.map(
        ({ word, description }) =>
          `complete -c raftkv -f -n "${condition}" -a ${word} -d '${fishText(description)}'`,
      ),
      ...options.map(({ word, description, takesValue }) => {
        const value = takesValue ? ' -r' : '';
        return `complete -c raftkv -n "${condition}" -l ${word.slice(2)}${value} -d '${fishText(description)}'`;
      }),
    ];
  });
  return `# Completion of raftkv for fish.\n${lines.join('\n')}\n`;
}

/** Holds where the words of a command are there, and none of those below it. */
function fishCondition(path: string, commands: readonly Described[]): string {
  const seen = path.split(' ').filter((word) => word !== '');
  const below = commands.map(({ word }) => word).join(' ');
  return [
    ...seen.map((word) => `__fish_seen_subcommand_from ${word}`),
    ...(below === '' ? [] : [`not __fish_seen_subcommand_from ${below}`]),
    ...(seen.length === 0 && below === '' ? ['true'] : []),
  ].join('; and ');
}

function fishText(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll("'", "\\'");
}

/**
 * Everything that `serve` can be told. A setting has one name: `--data-dir` on the command line, `RAFTKV_DATA_DIR` in
 * the environment, `data-dir` in the file.
 */
export interface Setting {
  /** What stands for the value in the help; undefined for a flag without one. */
  readonly placeholder: string | undefined;
  readonly description: string;
  /** What the value must be; completes "must be …". */
  readonly expects: string;
  readonly default?: string;
}

export const settings = {
  config: {
    placeholder: 'FILE',
    description: 'a YAML file with these settings, by the same names',
    expects: 'the path of a YAML file',
  },
  id: {
    placeholder: 'ID',
    description: "this node's name, unique in its cluster",
    expects: 'letters, digits, dots, hyphens and underscores, at most 63, such as n1',
  },
  'data-dir': {
    placeholder: 'DIR',
    description: 'where this node keeps everything; its alone',
    expects: 'the path of a directory',
  },
  http: {
    placeholder: 'HOST:PORT',
    description: 'where to listen for clients',
    expects: 'HOST:PORT with a port from 1 to 65535, such as 127.0.0.1:8101',
    default: '127.0.0.1:8101',
  },
  peer: {
    placeholder: 'HOST:PORT',
    description: 'where to listen for the other members',
    expects: 'HOST:PORT with a port from 1 to 65535, such as 127.0.0.1:7101',
    default: '127.0.0.1:7101',
  },
  'advertise-http': {
    placeholder: 'URL',
    description: 'where clients reach this node; http://HOST:PORT of --http unless given',
    expects: 'a URL without a path, such as http://10.0.0.1:8101',
  },
  'advertise-peer': {
    placeholder: 'HOST:PORT',
    description: 'where the other members reach this node; --peer unless given',
    expects: 'HOST:PORT with a port from 1 to 65535, such as 10.0.0.1:7101',
  },
  'cluster-secret-file': {
    placeholder: 'FILE',
    description: 'the secret by which the members of a cluster know each other; raftkv secret makes one',
    expects: 'the path of a file',
  },
  'peer-auth': {
    placeholder: 'HOW',
    description:
      'with a cluster secret: required (only peers that prove that they know it) or permissive (others, too, while a cluster moves to a secret)',
    expects: 'required or permissive',
    default: 'required',
  },
  'insecure-peers': {
    placeholder: undefined,
    description: 'without a cluster secret, listen for peers on an address that other machines reach',
    expects: 'true or false',
  },
  'initial-cluster': {
    placeholder: 'ID=HOST:PORT,…',
    description:
      'first start of a new cluster: all its members and their peer addresses, this one included; later, where members that moved may be found',
    expects: 'ID=HOST:PORT, separated by commas',
  },
  join: {
    placeholder: 'URL,…',
    description:
      'first start of an added member: client URLs of a running cluster; together with --initial-cluster, for a member whose disk is new',
    expects: 'URLs of running nodes such as http://10.0.0.1:8101, separated by commas',
  },
  single: {
    placeholder: undefined,
    description: 'first start of a cluster of one',
    expects: 'true or false',
  },
  'client-routing': {
    placeholder: 'HOW',
    description:
      'what a follower does with what needs the leader: redirect (answer 307) or serve (ask the leader)',
    expects: 'redirect or serve',
    default: 'redirect',
  },
  'allowed-host': {
    placeholder: 'NAME,…',
    description:
      'further names by which clients call this node. IP addresses, names without a dot, the host name and what members ' +
      'advertise are always allowed; other names are refused, because web pages can make them up',
    expects: 'host names without a port such as kv.example.com, separated by commas',
    default: '',
  },
  'cors-origin': {
    placeholder: 'ORIGIN,…',
    description:
      'origins whose web pages may read and change what is here; pages of others may change nothing',
    expects: 'origins such as https://app.example.com, separated by commas; each must be named',
    default: '',
  },
  'log-level': {
    placeholder: 'LEVEL',
    description: 'trace, debug, info, warn, error or silent',
    expects: 'trace, debug, info, warn, error or silent',
    default: 'info',
  },
  'value-bytes-max': {
    placeholder: 'BYTES',
    description: 'the largest value that a PUT accepts; the same on every node',
    expects: 'a whole number of bytes from 1 to 16777216',
    default: '1048576',
  },
  'log-entries-max': {
    placeholder: 'N',
    description: 'compact the log when it holds more entries than this',
    expects: 'a whole number of at least 1',
    default: '100000',
  },
  'log-bytes-max': {
    placeholder: 'BYTES',
    description: 'compact the log when it is larger than this; it is kept in memory',
    expects: 'a whole number of bytes of at least 1',
    default: '67108864',
  },
  'upgrade-delay': {
    placeholder: 'DURATION',
    description: 'how long all members must have run a newer version before older ones are locked out',
    expects: 'a duration from 0s to 8760h, such as 30s, 10m or 2h',
    default: '10m',
  },
} as const satisfies Readonly<Record<string, Setting>>;

export type SettingName = keyof typeof settings;

export const settingNames = Object.keys(settings) as readonly SettingName[];

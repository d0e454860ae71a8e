/**
 * Imports point one way: bin -> cli -> server -> {http, node, transport, storage, kv} -> contracts -> raft/types; and
 * cli -> client, which stands alone.
 * A contract is a file that holds an interface and no behaviour, or words that all share, such as what an address or a histogram is.
 */
const contracts =
  '^src/(errors|assert|background-task|clock|cluster-version|config|histogram|logger|addresses|protobuf|text|turn-share)\\.ts$|^src/(transport/contract|storage/ordered-store|kv/types|http/port|raft/types)\\.ts$';

const only = (name, comment, from, allowed) => ({
  name,
  comment,
  severity: 'error',
  from: { path: from },
  to: { path: '^src/', pathNot: [from, allowed].flat() },
});

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'no-orphans', severity: 'error', from: { orphan: true, pathNot: '\\.d\\.ts$' }, to: {} },
    {
      name: 'core-is-pure',
      comment: 'raft/ has no I/O: it imports itself and the assertion helper, and no library at all.',
      severity: 'error',
      from: { path: '^src/raft/' },
      to: { pathNot: '^src/raft/|^src/assert\\.ts$' },
    },
    {
      name: 'client-stands-alone',
      comment: 'client/ runs in browsers, too: it imports itself alone, no module of Node and no library.',
      severity: 'error',
      from: { path: '^src/client/' },
      to: { pathNot: '^src/client/' },
    },
    {
      name: 'client-is-for-clients',
      comment: 'What the command line needs of the client library, it exports.',
      severity: 'error',
      from: { pathNot: '^src/client/' },
      to: { path: '^src/client/', pathNot: '^src/client/index\\.ts$' },
    },
    {
      name: 'nodes-are-no-clients',
      severity: 'error',
      from: { pathNot: '^src/(client|cli)/' },
      to: { path: '^src/client/' },
    },
    only(
      'http-knows-only-its-port',
      'http/ declares the interface that it needs of a node.',
      '^src/http/',
      contracts,
    ),
    only('kv-stands-alone', 'kv/ never imports node, http or transport.', '^src/kv/', [
      contracts,
      '^src/raft/',
    ]),
    only('storage-stands-alone', 'storage/ never imports node, http or transport.', '^src/storage/', [
      contracts,
      '^src/raft/',
    ]),
    only('transport-stands-alone', 'transport/ moves messages and knows nothing else.', '^src/transport/', [
      contracts,
      '^src/raft/',
    ]),
    only('node-knows-contracts', 'node/ is given its transport, stores and state machine.', '^src/node/', [
      contracts,
      '^src/raft/',
      '^src/storage/log-store\\.ts$',
    ]),
    {
      name: 'nothing-imports-the-top',
      severity: 'error',
      from: { pathNot: '^src/(server|cli/.*)\\.ts$' },
      to: { path: '^src/(server\\.ts|cli/)' },
    },
    {
      name: 'nothing-imports-the-simulator',
      severity: 'error',
      from: { pathNot: '^src/(sim|cli)/' },
      to: { path: '^src/sim/' },
    },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
  },
};

import fastify from 'fastify';

// The least that a PUT and a GET of a value can cost over HTTP here: read the body, answer a small JSON; answer 256 bytes.
const value = Buffer.alloc(256, 'v');
const app = fastify();
app.removeAllContentTypeParsers();
app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
app.put('/v1/kv/*', async (request) => ({ key: 'key', revision: request.body.length, created: false }));
app.get('/v1/kv/*', (_request, reply) => reply.type('application/octet-stream').send(value));
await app.listen({ host: '127.0.0.1', port: Number(process.argv[2]) });
process.on('SIGTERM', () => process.exit(0));

import { expect, it } from 'vitest';
import { listen, RawConnection, serve } from './kit.js';

const request = 'GET /v1/kv/a?consistency=stale HTTP/1.1\r\nHost: h\r\n\r\n';
const put = 'PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx';

it('a connection too many is refused with 503, and what it asks for is not done', async () => {
  const { app, node } = serve({ connectionsMax: 2 });
  const port = await listen(app);
  const used = [new RawConnection(port), new RawConnection(port)];
  for (const connection of used) {
    connection.send(request);
    await connection.until(/404/);
    // It is busy with this from now on, and would be idle otherwise.
    connection.send('GET /v1/watch?prefix= HTTP/1.1\r\nHost: h\r\n\r\n');
    await connection.until(/200 OK/);
  }
  const refused = new RawConnection(port);
  refused.send(put);
  expect(await refused.untilEnd()).toMatch(/^HTTP\/1\.1 503 (.|\r\n)*"overloaded"/);
  expect(node.calls).toEqual([]);
  const metrics = await app.inject('/metrics');
  expect(metrics.body).toContain('raftkv_http_connections_refused_total 1');
  used[0]?.socket.destroy();
  await app.close();
});

/** Takes up the bound of two with watches. */
async function fill(port: number): Promise<void> {
  for (const connection of [new RawConnection(port), new RawConnection(port)]) {
    connection.send('GET /v1/watch?prefix= HTTP/1.1\r\nHost: h\r\n\r\n');
    await connection.until(/200 OK/);
  }
}

it('an EventSource past the bound is told to ask again, since any status but 200 is final to it', async () => {
  const { app } = serve({ connectionsMax: 2, corsOrigins: ['https://app.example'] });
  const port = await listen(app);
  await fill(port);
  const head = 'GET /v1/watch?prefix= HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n';
  const refused = new RawConnection(port);
  refused.send(head);
  refused.send('Origin: https://app.example\r\n\r\n');
  const received = await refused.untilEnd();
  expect(received).toMatch(/^HTTP\/1\.1 200 OK\r\nContent-Type: text\/event-stream\r\n/);
  expect(received).toContain('\r\nAccess-Control-Allow-Origin: https://app.example\r\n');
  expect(received.slice(received.indexOf('\r\n\r\n') + 4)).toMatch(
    /^retry: \d+\nevent: error\ndata: \{.*"code":"overloaded".*\}\n\n$/,
  );
  const foreign = new RawConnection(port);
  foreign.send(`${head}Origin: https://evil.example\r\n\r\n`);
  expect(await foreign.untilEnd()).not.toContain('Access-Control');
  await app.close();
});

it.each([
  ['a watch of lines', 'GET /v1/watch?prefix= HTTP/1.1\r\nHost: h\r\nAccept: application/x-ndjson\r\n\r\n'],
  ['another path', 'GET /v1/kv/a HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n'],
  ['requests one behind the other', `${put}${put}`],
  ['a body that is awaited', put.replace('\r\n\r\nx', '\r\nExpect: 100-continue\r\n\r\n')],
  ['CONNECT', 'CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['garbage', 'garbage\r\n\r\n'],
  ['a part of a head', 'GET /v1/watch'],
  ['nothing', ''],
])('whatever else comes past the bound gets 503 once (%s)', async (_, text) => {
  const { app, node } = serve({ connectionsMax: 2 });
  const port = await listen(app);
  await fill(port);
  const refused = new RawConnection(port);
  refused.send(text);
  const received = await refused.untilEnd();
  expect(received.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 503']);
  expect(received).toMatch(/"code":"overloaded".*}$/);
  expect(node.calls).toEqual([]);
  await app.close();
});

it('idle connections make room for new ones', async () => {
  const { app } = serve({ connectionsMax: 2 });
  const port = await listen(app);
  const idle = [new RawConnection(port), new RawConnection(port)];
  for (const connection of idle) {
    connection.send(request);
    await connection.until(/404/);
  }
  const next = new RawConnection(port);
  next.send(put);
  await next.until(/201/);
  for (const connection of idle) await connection.untilEnd();
  await app.close();
});

it('connections that never sent anything go a while after the bound was reached, those of this moment do not', async () => {
  const { app } = serve({ connectionsMax: 2 });
  const port = await listen(app);
  const silent = [new RawConnection(port), new RawConnection(port)];
  const first = new RawConnection(port);
  expect(await first.untilEnd()).toMatch(/^HTTP\/1\.1 503 /);
  expect(silent.map(({ ended }) => ended)).toEqual([false, false]);
  await new Promise((resolve) => setTimeout(resolve, 1_100));
  const next = new RawConnection(port);
  next.send(put);
  await next.until(/201/);
  for (const connection of silent) await connection.untilEnd();
  await app.close();
});

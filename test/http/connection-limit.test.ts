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

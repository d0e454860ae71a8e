import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';

/** One request, as it arrived. */
export interface Arrived {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export type Answering = (arrived: Arrived, response: ServerResponse) => void;

/** A server on loopback that answers as a test tells it to. */
export class FakeServer {
  readonly arrived: Arrived[] = [];
  answer: Answering = (_, response) => sendJson(response, 200, {});
  private readonly server: Server;

  private constructor() {
    this.server = createServer(async (request, response) => {
      let body = '';
      for await (const chunk of request) body += chunk;
      const { pathname, searchParams } = new URL(request.url ?? '', 'http://h');
      const arrived = {
        method: request.method ?? '',
        path: pathname,
        query: searchParams,
        headers: request.headers,
        body,
      };
      this.arrived.push(arrived);
      response.setHeader('Raftkv-Node', 'n1');
      this.answer(arrived, response);
    });
  }

  static async started(answer?: Answering): Promise<FakeServer> {
    const fake = new FakeServer();
    if (answer !== undefined) fake.answer = answer;
    await new Promise<void>((resolve) => fake.server.listen(0, '127.0.0.1', resolve));
    return fake;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(JSON.stringify(body));
}

export function sendProblem(response: ServerResponse, status: number, code: string): void {
  sendJson(response, status, { type: `urn:raftkv:problem:${code}`, status, code, detail: `It is ${code}.` });
}

/** A URL that nobody listens at. */
export async function deadUrl(): Promise<string> {
  const probe = createTcpServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return `http://127.0.0.1:${port}`;
}

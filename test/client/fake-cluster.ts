import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Answer = (request: IncomingMessage, response: ServerResponse, body: string) => void;

/** A server on loopback that answers as a test says, one request after the other; the last answer goes on. */
export class FakeServer {
  readonly requests: {
    readonly method: string;
    readonly url: string;
    readonly headers: IncomingMessage['headers'];
  }[] = [];
  readonly bodies: string[] = [];
  private readonly server: Server;
  url = '';

  private constructor(private readonly answers: Answer[]) {
    this.server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => {
        body += chunk;
      });
      request.on('end', () => {
        this.requests.push({
          method: request.method ?? '',
          url: request.url ?? '',
          headers: request.headers,
        });
        this.bodies.push(body);
        const answer = this.answers.length > 1 ? this.answers.shift() : this.answers[0];
        answer?.(request, response, body);
      });
    });
  }

  static async start(...answers: Answer[]): Promise<FakeServer> {
    const fake = new FakeServer(answers);
    await new Promise<void>((resolve) => fake.server.listen(0, '127.0.0.1', resolve));
    fake.url = `http://127.0.0.1:${(fake.server.address() as AddressInfo).port}`;
    return fake;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

export const json =
  (status: number, body: object): Answer =>
  (_, response) => {
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
  };

export const problem = (status: number, code: string, more: object = {}): Answer =>
  json(status, { status, code, detail: `It is ${code}.`, ...more });

export const redirect =
  (location: () => string): Answer =>
  (request, response) => {
    response.writeHead(307, { Location: location() + (request.url ?? '') }).end();
  };

export const hangUp: Answer = (request) => request.socket.destroy();

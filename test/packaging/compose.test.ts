import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

interface Service {
  readonly build?: string;
  readonly image?: string;
  readonly pull_policy?: string;
  readonly profiles?: readonly string[];
  readonly ports?: readonly string[];
  readonly command: string;
  readonly environment?: Readonly<Record<string, string>>;
}

const file = new URL('../../docker-compose.yml', import.meta.url);

function services(): readonly (readonly [string, Service])[] {
  const parsed: { readonly services: Readonly<Record<string, Service>> } = parse(readFileSync(file, 'utf8'), {
    merge: true,
  });
  return Object.entries(parsed.services);
}

describe('docker-compose.yml', () => {
  it('builds its image in one service, because several would export the same tag at once, and pulls it in none', () => {
    const all = services();
    expect(all.map(([name]) => name)).toEqual(['n1', 'n2', 'n3', 'n4', 'n5', 'secret']);
    expect(all.filter(([, service]) => service.build !== undefined).map(([name]) => name)).toEqual(['n1']);
    for (const [name, { image, build, pull_policy }] of all) {
      expect([name, image]).toEqual([name, 'raftkv']);
      if (build === undefined) expect([name, pull_policy]).toEqual([name, 'never']);
    }
    // It takes part whatever the profile.
    expect(all[0]?.[1].profiles).toBeUndefined();
  });

  it('publishes its ports to this machine alone', () => {
    for (const [name, { ports = [] }] of services()) {
      for (const port of ports) expect([name, port]).toEqual([name, expect.stringMatching(/^127\.0\.0\.1:/)]);
    }
  });

  it('lets a founding node whose volume is lost join again', () => {
    const founding = services().filter(([, { command }]) => command.includes('--initial-cluster'));
    expect(founding.map(([name]) => name)).toEqual(['n1', 'n2', 'n3']);
    for (const [, { command }] of founding) expect(command).toContain('--join http://');
  });

  it('lets commands in a container reach every founding node, where advertised URLs work on the host only', () => {
    const nodes = services().filter(([, { command }]) => command.startsWith('serve'));
    const endpoints = nodes
      .filter(([, { command }]) => command.includes('--initial-cluster'))
      .map(([name, { command }]) => `http://${name}:${/--http 0\.0\.0\.0:(\d+)/.exec(command)?.[1]}`);
    for (const [name, { environment }] of nodes) {
      expect([name, environment?.['RAFTKV_ENDPOINTS']]).toEqual([name, endpoints.join(',')]);
    }
  });
});

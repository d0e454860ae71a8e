import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

interface Service {
  readonly build?: string;
  readonly image?: string;
  readonly pull_policy?: string;
  readonly profiles?: readonly string[];
}

const file = new URL('../../docker-compose.yml', import.meta.url);

describe('docker-compose.yml', () => {
  it('builds its image in one service, because several would export the same tag at once, and pulls it in none', () => {
    const { services }: { services: Readonly<Record<string, Service>> } = parse(readFileSync(file, 'utf8'), {
      merge: true,
    });
    const all = Object.entries(services);
    expect(all.map(([name]) => name)).toEqual(['n1', 'n2', 'n3', 'n4', 'n5', 'secret']);
    expect(all.filter(([, service]) => service.build !== undefined).map(([name]) => name)).toEqual(['n1']);
    for (const [name, { image, build, pull_policy }] of all) {
      expect([name, image]).toEqual([name, 'raftkv']);
      if (build === undefined) expect([name, pull_policy]).toEqual([name, 'never']);
    }
    // It takes part whatever the profile.
    expect(all[0]?.[1].profiles).toBeUndefined();
  });
});

import { Buffer } from 'node:buffer';
import { describe, expect, it } from 'vitest';
import { pageJson } from '../../src/http/page.js';
import type { Item } from '../../src/kv/types.js';
import { serve } from './kit.js';

function itemOf(key: string, value: Buffer): Item {
  return { key: Buffer.from(key), value, contentType: '', createRevision: 1, modRevision: 1, version: 1 };
}

async function parsed(value: Buffer) {
  const result = { revision: 1, items: [itemOf('a', value)], more: false };
  return JSON.parse(
    (await pageJson(result, Buffer.alloc(0), false, () => Promise.resolve())).toString('utf8'),
  );
}

describe('a page of a listing', () => {
  it('shows long values as they are, text or not, wherever they are cut', async () => {
    for (const text of ['x'.repeat(200_000), 'x\u{1f600}'.repeat(70_000), `y${'\u{1f600}'.repeat(70_000)}`]) {
      expect((await parsed(Buffer.from(text))).items[0].value === text).toBe(true);
    }
    for (const length of [200_000, 200_001, 200_002]) {
      const bytes = Buffer.alloc(length, 0xfe);
      expect((await parsed(bytes)).items[0].valueBase64 === bytes.toString('base64')).toBe(true);
    }
  });

  it('is bounded by the size of its JSON, and made in many turns of the event loop', async () => {
    const { app, node } = serve();
    const value = Buffer.alloc(1024 * 1024, 1);
    const keys = ['a', 'b', 'c'];
    for (const key of keys) {
      await node.write({ kind: 'put', key: Buffer.from(key), value, contentType: '' }, 1);
    }
    let turns = 0;
    let counting = true;
    const count = (): void => {
      turns += 1;
      if (counting) setImmediate(count);
    };
    setImmediate(count);
    const listed: string[] = [];
    let query = '';
    for (let pages = 1; ; pages += 1) {
      const { body } = await app.inject(`/v1/kv${query}`);
      expect(body.length).toBeLessThan(7 * 1024 * 1024);
      const page: { items: { key: string; value: string }[]; nextCursor?: string } = JSON.parse(body);
      for (const item of page.items) {
        listed.push(item.key);
        expect(Buffer.from(item.value).equals(value)).toBe(true);
      }
      if (page.nextCursor === undefined) break;
      expect(pages).toBeLessThan(keys.length);
      query = `?cursor=${page.nextCursor}`;
    }
    counting = false;
    expect(listed).toEqual(keys);
    expect(turns).toBeGreaterThan(40);
  });
});

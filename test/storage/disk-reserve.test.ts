import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { DiskReserve } from '../../src/storage/disk-reserve.js';
import { withTemporaryDirectory } from './temporary.js';

const BYTES = 2_500_000;

it('a reserve takes room on the disk until it is given up, also that of an earlier process', () =>
  withTemporaryDirectory(async (directory) => {
    const reserve = await DiskReserve.in(directory);
    expect(reserve.bytes).toBe(0);
    await reserve.take(BYTES);
    const { size, blocks } = await stat(join(directory, 'RESERVE'));
    expect([reserve.bytes, size]).toEqual([BYTES, BYTES]);
    // A file with holes would take nothing.
    expect(blocks * 512).toBeGreaterThanOrEqual(BYTES);
    const later = await DiskReserve.in(directory);
    expect(later.bytes).toBe(BYTES);
    await later.giveUp();
    expect([later.bytes, (await DiskReserve.in(directory)).bytes]).toEqual([0, 0]);
  }));

it('a reserve that cannot be taken holds nothing', () =>
  withTemporaryDirectory(async (directory) => {
    const reserve = await DiskReserve.in(join(directory, 'missing'));
    await expect(reserve.take(BYTES)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(reserve.bytes).toBe(0);
  }));

import { copyFile, cp, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { present } from '../../src/assert.js';
import { Prng } from '../../src/sim/prng.js';
import { flip, spoil } from '../storage/damage-kit.js';
import { STORES, startIn, type UsedDirectory, useDirectory } from './directory.js';

const PAGE_BYTES = 4096;

/** What is done to a stopped node's disk. */
export type DamageKind = 'flip' | 'zeros' | 'cut' | 'delete' | 'swap' | 'older';

/**
 * What became of it. `found`: the node refuses to start and names the file. `meaningless`: it starts, and everything is as it was. `torn`: it
 * starts without the last write and says that it was not finished. `untold`: it starts as it was after an earlier write; no file tells that a later one was there.
 */
export type Outcome = 'found' | 'meaningless' | 'torn' | 'untold';

interface DamagedFile {
  readonly store: string;
  readonly name: string;
  readonly path: string;
  readonly size: number;
}

/**
 * Only the end of a write-ahead log may be lost, and only where what is left looks as an unfinished write leaves it; one flipped
 * bit never does. LevelDB's messages and its lock mean nothing.
 */
function mayBe(outcome: Outcome, kind: DamageKind, { name }: DamagedFile): boolean {
  if (outcome === 'found') return true;
  if (outcome === 'meaningless')
    return /^(LOG|LOG\.old|LOCK)$/.test(name) || kind === 'zeros' || kind === 'older' || kind === 'cut';
  const isLog = name.endsWith('.log');
  if (outcome === 'torn') return isLog && (kind === 'zeros' || kind === 'cut' || kind === 'older');
  return isLog && (kind === 'cut' || kind === 'older');
}

export interface CampaignReport {
  readonly counts: ReadonlyMap<string, number>;
  /** What must not have happened, a line each. */
  readonly failures: readonly string[];
}

/** Damages a directory again and again, each time from anew, and looks what a start says. */
export async function runCampaign(
  trials: number,
  seed: number,
  onTrial: (done: number) => void = () => {},
): Promise<CampaignReport> {
  const random = new Prng(seed, 'damage');
  const used = await useDirectory(random.fork('use'));
  const directory = await mkdtemp(join(tmpdir(), 'raftkv-damage-'));
  try {
    return await new Campaign(used, join(directory, 'copy'), random).run(trials, onTrial);
  } finally {
    await rm(directory, { recursive: true, force: true });
    await used.remove();
  }
}

class Campaign {
  private readonly counts = new Map<string, number>();
  private readonly failures: string[] = [];

  constructor(
    private readonly used: UsedDirectory,
    private readonly copy: string,
    private readonly random: Prng,
  ) {}

  async run(trials: number, onTrial: (done: number) => void): Promise<CampaignReport> {
    await this.renew();
    const whole = await startIn(this.copy);
    if (whole.kind !== 'started') throw new Error(`The directory is refused as it is: ${whole.message}`);
    await this.renew();
    for (let done = 0; done < trials; done += 1) {
      await this.try(this.kind(), whole.content);
      onTrial(done + 1);
    }
    return { counts: this.counts, failures: this.failures };
  }

  private kind(): DamageKind {
    const others = ['zeros', 'cut', 'delete', 'swap', 'older'] as const;
    return this.random.chance(0.8) ? 'flip' : present(this.random.pick([...others]), 'There are kinds.');
  }

  private async try(kind: DamageKind, whole: string): Promise<void> {
    const file = present(this.random.pick(await this.files()), 'There are files.');
    const what = `${kind} of ${file.store}/${file.name}`;
    const place = await this.damage(kind, file);
    let outcome: Outcome;
    try {
      const start = await startIn(this.copy);
      if (start.kind === 'refused') outcome = 'found';
      else if (start.content === whole) outcome = 'meaningless';
      else outcome = start.isTorn ? 'torn' : 'untold';
      if (start.kind === 'refused' && !start.message.includes('--join'))
        this.failures.push(`${what}: no advice: ${start.message}`);
    } catch (error) {
      this.failures.push(`${what} ${place}: ${error instanceof Error ? error.stack : String(error)}`);
      await this.renew();
      return;
    }
    const name = `${kind} ${outcome}${outcome === 'found' ? '' : ` (${file.name.replace(/\d{6}/, 'N')})`}`;
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
    if (!mayBe(outcome, kind, file)) this.failures.push(`${what} ${place}: ${outcome}`);
    await this.renew();
  }

  /** Does one kind of damage; returns where. */
  private async damage(kind: DamageKind, file: DamagedFile): Promise<string> {
    const { random } = this;
    const others = (await this.files()).filter(
      ({ path, name }) => path !== file.path && sameKind(name, file.name),
    );
    switch (kind) {
      case 'flip': {
        const bit = random.integer(0, 8 * file.size - 1);
        await spoil(file.path, flip(bit));
        return `at bit ${bit} of ${file.size} bytes`;
      }
      case 'zeros': {
        const page = PAGE_BYTES * random.integer(0, Math.floor((file.size - 1) / PAGE_BYTES));
        await spoil(file.path, (bytes) => bytes.fill(0, page, Math.min(page + PAGE_BYTES, bytes.length)));
        return `at byte ${page} of ${file.size}`;
      }
      case 'cut': {
        const length = random.integer(0, file.size - 1);
        await spoil(file.path, (bytes) => bytes.subarray(0, length));
        return `to ${length} of ${file.size} bytes`;
      }
      case 'delete':
        await rm(file.path);
        return '';
      case 'swap': {
        const other = random.pick(others);
        if (other === undefined) return 'with nothing';
        await rename(file.path, `${file.path}.aside`);
        await rename(other.path, file.path);
        await rename(`${file.path}.aside`, other.path);
        return `with ${other.store}/${other.name}`;
      }
      case 'older': {
        const earlier = (await readdir(join(this.used.earlier, file.store))).filter((name) =>
          sameKind(name, file.name),
        );
        const name = earlier.includes(file.name) ? file.name : random.pick(earlier);
        if (name === undefined) return 'by nothing';
        await copyFile(join(this.used.earlier, file.store, name), file.path);
        return `by the earlier ${name}`;
      }
    }
  }

  private async renew(): Promise<void> {
    await rm(this.copy, { recursive: true, force: true });
    await cp(this.used.path, this.copy, { recursive: true });
  }

  /** All files of both stores that are not empty, each once for itself: small ones are damaged as often as large ones. */
  private async files(): Promise<readonly DamagedFile[]> {
    const files: DamagedFile[] = [];
    for (const store of STORES) {
      for (const name of (await readdir(join(this.copy, store))).toSorted()) {
        const path = join(this.copy, store, name);
        const { size } = await stat(path);
        if (size > 0) files.push({ store, name, path, size });
      }
    }
    return files;
  }
}

function sameKind(one: string, other: string): boolean {
  const kindOf = (name: string) => name.replace(/\d+/, 'N');
  return kindOf(one) === kindOf(other);
}

import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StorageDamaged } from '../../src/errors.js';
import { Prng } from '../../src/sim/prng.js';
import { type DamagedFile, type DamageKind, damage, kindOfDamage } from './damage.js';
import { startIn, type UsedDirectory, useDirectory } from './directory.js';

/**
 * What became of it. `found`: the node refuses to start and names the file. `meaningless`: it starts, and everything is as it was. `torn`: it
 * starts without the last write and says that it was not finished. `untold`: it starts as it was after an earlier write; no file tells that a later one was there.
 */
export type Outcome = 'found' | 'meaningless' | 'torn' | 'untold';

/**
 * Only the end of the state's write-ahead log may be lost, because the log has what it held, and only where what is left looks as an
 * unfinished write leaves it; one flipped bit never does. The end of the log itself is noted in a second place. LevelDB's messages and
 * its lock mean nothing.
 */
function mayBe(outcome: Outcome, kind: DamageKind, { name, store }: DamagedFile): boolean {
  if (outcome === 'found') return true;
  if (outcome === 'meaningless')
    return /^(LOG|LOG\.old|LOCK)$/.test(name) || kind === 'zeros' || kind === 'older' || kind === 'cut';
  const isLog = store !== 'log' && name.endsWith('.log');
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
    if (whole.kind !== 'started')
      throw new Error(`The directory is refused as it is: ${whole.error.message}`);
    await this.renew();
    for (let done = 0; done < trials; done += 1) {
      await this.try(kindOfDamage(this.random), whole.content);
      onTrial(done + 1);
    }
    return { counts: this.counts, failures: this.failures };
  }

  /** A damaged log is given up by an operator; what becomes of a damaged state, the node itself says. */
  private checkAdvice(what: string, { store, message }: StorageDamaged): void {
    const advice = store === 'state' ? 'its log says what it does about that' : '--join';
    if (!message.includes(advice)) this.failures.push(`${what}: no advice: ${message}`);
  }

  private async try(kind: DamageKind, whole: string): Promise<void> {
    const { file, place } = await damage(kind, this.copy, this.used.earlier, this.random);
    const what = `${kind} of ${file.store}/${file.name}`;
    let outcome: Outcome;
    try {
      const start = await startIn(this.copy);
      if (start.kind === 'refused') outcome = 'found';
      else if (start.content === whole) outcome = 'meaningless';
      else outcome = start.isTorn ? 'torn' : 'untold';
      if (start.kind === 'refused') this.checkAdvice(what, start.error);
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

  private async renew(): Promise<void> {
    await rm(this.copy, { recursive: true, force: true });
    await cp(this.used.path, this.copy, { recursive: true });
  }
}

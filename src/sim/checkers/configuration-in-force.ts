import { type Configuration, type Entry, EntryKind, type Index } from '../../raft/types.js';
import { textOf } from '../bytes.js';
import { type Checker, type CoreView, type NodeView, Violation } from './checker.js';

/**
 * A server always uses the latest configuration in its log, regardless of whether the entry is committed (§6; correctness
 * row 14): a configuration takes effect when it is appended, is taken back when it is overwritten, and comes with what stands for
 * the beginning of the log (§7, Figure 13).
 */
export class ConfigurationInForce implements Checker {
  readonly property = 'The latest configuration in the log is in force (§6)';
  /** All committed configurations, in their order. */
  private readonly committed: (Members & { readonly index: Index })[] = [];

  applied(_node: NodeView, entry: Entry): void {
    const last = this.committed.at(-1)?.index ?? 0;
    if (entry.kind === EntryKind.configuration && entry.index > last)
      this.committed.push({ index: entry.index, ...membersOf(entry) });
  }

  /** What stands for the beginning of the log on disk: a node that starts again goes by it. */
  persisted(node: NodeView): void {
    const { startIndex, startConfiguration } = node.durable;
    const expected = this.committed.findLast(({ index }) => index <= startIndex);
    if (startConfiguration !== null && expected !== undefined && startIndex > 0)
      this.compare(`${node.id} has on disk`, startConfiguration, expected);
  }

  stepped(node: NodeView, core: CoreView): void {
    const { firstIndex, lastIndex, configurationIndex, configuration } = core;
    const latest = core
      .entries(firstIndex, lastIndex)
      .findLast(({ kind }) => kind === EntryKind.configuration);
    // Without one in the log, the compacted part had it.
    if (latest === undefined ? configurationIndex >= firstIndex : configurationIndex !== latest.index) {
      throw new Violation(
        this.property,
        `${node.id} goes by the configuration at index ${configurationIndex}, and the latest in its log is ` +
          `${latest === undefined ? `before index ${firstIndex}` : `at index ${latest.index}`}.`,
      );
    }
    const expected =
      latest === undefined ? this.committed.findLast(({ index }) => index < firstIndex) : membersOf(latest);
    if (expected !== undefined) this.compare(`${node.id} goes by`, configuration, expected);
  }

  private compare(what: string, configuration: Configuration, expected: Members): void {
    const given = known.get(configuration) ?? asText(configuration);
    known.set(configuration, given);
    const { voters, learners } = given;
    if (voters === expected.voters && learners === expected.learners) return;
    throw new Violation(
      this.property,
      `${what} the voters ${voters || 'nobody'} and the learners ${learners || 'nobody'}, and the latest configuration has ` +
        `${expected.voters} and ${expected.learners || 'nobody'}.`,
    );
  }
}

interface Members {
  readonly voters: string;
  readonly learners: string;
}

/** What the entry's bytes say, read without the product's help. */
function membersOf(entry: Entry): Members {
  let members = known.get(entry);
  if (members === undefined) {
    members = asText(JSON.parse(textOf(entry.payload)) as { voters: string[]; learners: string[] });
    known.set(entry, members);
  }
  return members;
}

function asText({ voters, learners }: Pick<Configuration, 'voters' | 'learners'>): Members {
  return { voters: voters.join(), learners: learners.join() };
}

/** Entries and configurations never change, and these are looked at after every step. */
const known = new WeakMap<object, Members>();

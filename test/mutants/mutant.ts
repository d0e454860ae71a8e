/** An edit of one source file. */
export interface Edit {
  readonly file: string;
  /** Must stand in the file exactly once. */
  readonly from: string;
  readonly to: string;
}

/** A known bug, as an edit of the source. */
export interface Mutant extends Edit {
  /** What is wrong with it. */
  readonly name: string;
  /** The section of the paper, or the rule in docs/architecture.md and docs/how-we-know.md, that it breaks. */
  readonly rule: string;
  /** Edits of other files, where two places guard the same thing. */
  readonly and?: readonly Edit[];
  /** The unit test that finds it, where the simulator has nobody who would do what it takes; absent for the simulator. */
  readonly test?: string;
}

export function editsOf(mutant: Mutant): readonly Edit[] {
  return [mutant, ...(mutant.and ?? [])];
}

/** Applies the edit. Throws unless it fits in exactly one place, so that no mutant silently becomes the original. */
export function plant({ file, from, to }: Edit, source: string): string {
  const count = source.split(from).length - 1;
  if (count !== 1) throw new Error(`"${from}" stands ${count} times in ${file}, and not once.`);
  return source.replace(from, () => to);
}

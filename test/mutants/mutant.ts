/** A known bug, as an edit of one source file. */
export interface Mutant {
  /** What is wrong with it. */
  readonly name: string;
  /** The section of the paper, or the rule in docs/architecture.md and docs/how-we-know.md, that it breaks. */
  readonly rule: string;
  readonly file: string;
  /** Must stand in the file exactly once. */
  readonly from: string;
  readonly to: string;
}

/** Applies the edit. Throws unless it fits in exactly one place, so that no mutant silently becomes the original. */
export function plant(mutant: Mutant, source: string): string {
  const count = source.split(mutant.from).length - 1;
  if (count !== 1) throw new Error(`"${mutant.from}" stands ${count} times in ${mutant.file}, and not once.`);
  return source.replace(mutant.from, () => mutant.to);
}

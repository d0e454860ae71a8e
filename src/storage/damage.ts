/** Something in a file of LevelDB that is not as LevelDB wrote it. */
export class Damage extends Error {
  override readonly name = 'Damage';

  /**
   * @param offset Where in the file, in bytes.
   * @param what Completes the sentence "FILE is damaged at byte OFFSET: …".
   */
  constructor(
    readonly offset: number,
    readonly what: string,
  ) {
    super(what);
  }
}

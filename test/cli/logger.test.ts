import { describe, expect, it } from 'vitest';
import { createLogger, forPeople } from '../../src/logger.js';

describe('the logger', () => {
  it('writes one JSON object a line, with the node, the level by name and the time in ISO 8601', () => {
    const lines: string[] = [];
    const logger = createLogger('n1', 'info', { write: (line) => lines.push(line) });
    logger.debug('not shown');
    logger.warn({ term: 3 }, 'A sentence.');
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? '')).toEqual({
      level: 'warn',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      node: 'n1',
      term: 3,
      msg: 'A sentence.',
    });
  });

  it('writes for people on a terminal', () => {
    const line =
      '{"level":"info","time":"2026-01-02T03:04:05.678Z","node":"n1","term":3,"why":"so","msg":"A sentence."}\n';
    expect(forPeople(line)).toBe('03:04:05.678 info n1 A sentence. term=3 why="so"');
  });

  it('lets nothing steer a terminal, whoever it came from', () => {
    const fields = { time: '2026-01-02T03:04:05.678Z', level: 'warn', node: 'n1' };
    const line = JSON.stringify({ ...fields, peer: 'x\u009b2J', msg: 'A \u001b[2Jpeer\nforges a line.' });
    expect(forPeople(line)).toBe('03:04:05.678 warn n1 A \uFFFD[2Jpeer\uFFFDforges a line. peer="x\uFFFD2J"');
  });
});

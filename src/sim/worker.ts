import { parentPort, workerData } from 'node:worker_threads';
import { present } from '../assert.js';
import type { Share } from './batch.js';
import { simulate } from './simulation.js';

// The traces of errors cost more than anything else that a refused request does; a replay of one seed has them.
Error.stackTraceLimit = 0;

const port = present(parentPort, 'This file is the start of a worker thread.');
const { first, step, end, nodeCount }: Share = workerData;
for (let seed = first; seed < end; seed += step) port.postMessage(await simulate({ seed, nodeCount }));

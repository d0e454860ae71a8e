import { put } from './client.js';
import { Cluster } from './cluster.js';

const STARTS = 3;

/**
 * A cluster of one stopped node whose stores hold tables: each start turns the write-ahead logs before it into tables. Every
 * `key-K`, K from 0 to 19, has the value `value 2 of K`.
 */
export async function clusterWithTables(): Promise<Cluster> {
  const cluster = await Cluster.of(1);
  const node = cluster.node('n1');
  for (let start = 0; start < STARTS; start += 1) {
    node.start(start === 0 ? cluster.founding : []);
    await cluster.ready();
    for (let key = 0; key < 20; key += 1) await put(node.url, `key-${key}`, `value ${start} of ${key}`);
    await node.stop();
  }
  return cluster;
}

import type { Clock, Timer } from '../clock.js';
import { drainMicrotasks } from './microtasks.js';

/**
 * The life of one simulated process: from a start to a crash. Everything that happens in a node happens in its process;
 * what was on its way to it when it ended never happens.
 */
export class Process {
  hasEnded = false;
  isPaused = false;
  /** How often it was paused. */
  pauseCount = 0;
  /** What came while it was paused, in the order of coming. */
  readonly held: ScheduledEvent[] = [];
  /** How far its clock has leapt ahead of the others'. */
  leapMs = 0;
  /** Work for the end of the current turn, see `Clock.soon`. */
  soonTasks: (() => void)[] = [];
  /** Steps until the process dies in the middle of one: a call to the network, the disk or the state machine each. */
  stepsLeft = Number.POSITIVE_INFINITY;
  private readonly endListeners = new Set<() => void>();

  constructor(
    readonly name: string,
    private readonly onLastStep: () => void,
  ) {}

  /** Notes a step that can be the last. Returns whether the process is still alive after it. */
  step(): boolean {
    if (this.hasEnded) return false;
    this.stepsLeft -= 1;
    if (this.stepsLeft > 0) return true;
    this.onLastStep();
    return false;
  }

  /** Calls back when the process ends; returns how to stop that. */
  whenEnded(listener: () => void): () => void {
    this.endListeners.add(listener);
    return () => this.endListeners.delete(listener);
  }

  end(): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.soonTasks = [];
    for (const listener of this.endListeners) listener();
  }
}

/** Something that will happen. */
class ScheduledEvent {
  isCancelled = false;
  constructor(
    /** When, in microseconds. */
    readonly time: number,
    /** What came to be scheduled first happens first. */
    readonly order: number,
    /** Where, or null for what happens outside of all nodes. */
    readonly process: Process | null,
    readonly task: () => void,
  ) {}

  cancel(): void {
    this.isCancelled = true;
  }
}

/**
 * Virtual time: a heap of events. Time passes only from one event to the next, and after each event all micro-tasks run,
 * so that the promises of the real shell are kept as they would be between two turns of the event loop.
 */
export class Scheduler {
  private readonly heap: ScheduledEvent[] = [];
  private time = 0;
  private lastOrder = 0;
  eventCount = 0;

  /** @param afterStep Called when an event and all that followed from it at once are done, with where it happened. */
  constructor(private readonly afterStep: (process: Process) => void) {}

  get nowMs(): number {
    return this.time / 1000;
  }

  /** Schedules `task`; it happens in `process` if one is given and if that is still alive then. */
  after(delayMs: number, process: Process | null, task: () => void): Timer {
    this.lastOrder += 1;
    const event = new ScheduledEvent(this.time + Math.round(delayMs * 1000), this.lastOrder, process, task);
    this.push(event);
    return event;
  }

  /** Holds back everything that happens in the process until {@link resume}. */
  pause(process: Process): void {
    process.isPaused = true;
    process.pauseCount += 1;
  }

  resume(process: Process): void {
    if (!process.isPaused) return;
    process.isPaused = false;
    for (const event of process.held.splice(0)) {
      if (!event.isCancelled) this.after(0, process, event.task);
    }
  }

  /** Runs events up to the given time, or until `isDone` says so after one of them. */
  runUntil(timeMs: number, isDone: () => boolean = () => false): void {
    const until = Math.round(timeMs * 1000);
    for (let next = this.heap[0]; next !== undefined && next.time <= until; next = this.heap[0]) {
      this.pop();
      this.time = next.time;
      if (next.isCancelled || next.process?.hasEnded) continue;
      if (next.process?.isPaused) {
        next.process.held.push(next);
        continue;
      }
      this.perform(next);
      if (isDone()) return;
    }
    this.time = until;
  }

  private perform(event: ScheduledEvent): void {
    const { process } = event;
    this.eventCount += 1;
    event.task();
    drainMicrotasks();
    if (process === null) return;
    while (process.soonTasks.length > 0) {
      const tasks = process.soonTasks;
      process.soonTasks = [];
      for (const task of tasks) {
        task();
        drainMicrotasks();
      }
    }
    if (!process.hasEnded) this.afterStep(process);
  }

  private push(event: ScheduledEvent): void {
    const { heap } = this;
    let at = heap.length;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = heap[above] as ScheduledEvent;
      if (isBefore(parent, event)) break;
      heap[at] = parent;
      at = above;
    }
    heap[at] = event;
  }

  private pop(): void {
    const { heap } = this;
    const last = heap.pop() as ScheduledEvent;
    const { length } = heap;
    if (length === 0) return;
    let at = 0;
    for (let child = 1; child < length; child = 2 * at + 1) {
      const right = child + 1;
      if (right < length && isBefore(heap[right] as ScheduledEvent, heap[child] as ScheduledEvent))
        child = right;
      const lower = heap[child] as ScheduledEvent;
      if (isBefore(last, lower)) break;
      heap[at] = lower;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(a: ScheduledEvent, b: ScheduledEvent): boolean {
  return a.time < b.time || (a.time === b.time && a.order < b.order);
}

/** The clock of one process. Its rate may differ a little from that of others, as the clocks of machines do. */
export class NodeClock implements Clock {
  constructor(
    private readonly scheduler: Scheduler,
    private readonly process: Process,
    private readonly rate: number,
    /** How long after an event the end of its turn comes: 0 for at once, more when other input is read first. */
    private readonly turnDelayMs: () => number,
  ) {}

  now(): number {
    return (this.scheduler.nowMs + this.process.leapMs) * this.rate;
  }

  after(delayMs: number, task: () => void): Timer {
    return this.scheduler.after(delayMs / this.rate, this.process, task);
  }

  soon(task: () => void): void {
    if (this.process.hasEnded) return;
    const delayMs = this.turnDelayMs();
    if (delayMs === 0) this.process.soonTasks.push(task);
    else this.scheduler.after(delayMs, this.process, task);
  }
}

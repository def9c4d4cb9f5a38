// The lease: makes this replica known to management for as long as it is willing to serve.
'use strict';

const { setTimeout: sleep } = require('node:timers/promises');
const grpc = require('@grpc/grpc-js');

const OPTIONS = {
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  // Management that vanished without a word is noticed while the lease lives.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.enable_http_proxy': 0,
};

// A stream that breaks is opened again, for ever, with the replica id that was given.
class Lease {
  constructor(ManagementService, address, replica) {
    this.replica = replica;
    this.management = new ManagementService(address, grpc.credentials.createInsecure(), OPTIONS);
    this.open();
  }

  open() {
    this.held = false;
    this.stream = this.management.holdReplicaLease();
    this.stream.on('data', (confirmed) => this.hold(confirmed));
    this.stream.on('error', () => {}); // told by the status, too
    this.stream.on('status', (status) => this.openAgain(status.details));
    this.stream.write({ replica: this.replica });
  }

  hold(confirmed) {
    if (!this.held) console.error(`lease held by replica ${confirmed.modelReplicaId}`);
    this.held = true;
    this.replica.modelReplicaId = confirmed.modelReplicaId;
    // Three renewals in its time to live, so that one or two may be late.
    if (!this.released) this.next = setTimeout(() => this.stream.write({}), Number(confirmed.timeToLiveMicros) / 3_000);
  }

  openAgain(cause) {
    clearTimeout(this.next);
    if (this.released) return this.released();
    if (this.held) console.error(`lease lost, trying again: ${cause || 'ended'}`);
    // Replicas that lost their leases together are to come back apart.
    this.next = setTimeout(() => this.open(), 100 + 900 * Math.random());
  }

  // Says that no more batches are wanted, and waits until management has heard it, or for two seconds.
  async release() {
    const confirmed = new Promise((resolve) => (this.released = resolve));
    clearTimeout(this.next);
    if (this.held) {
      this.stream.write({ release: true });
      this.stream.end();
      await Promise.race([confirmed, sleep(2_000)]);
    }
    this.management.close();
  }
}

module.exports = { Lease };

"""Limits that services have to agree on: one keeps what another one checks."""

# Of the message that answers a batch. A model container sends none larger, and a query service that was sent one would
# take the replica for lost, and with it everybody else's predictions in the batch.
LARGEST_BATCH_ANSWER_BYTES = 64 * 1024 * 1024

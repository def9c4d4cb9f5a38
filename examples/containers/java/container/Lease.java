package container;

import static java.util.concurrent.TimeUnit.MICROSECONDS;
import static java.util.concurrent.TimeUnit.MILLISECONDS;
import static java.util.concurrent.TimeUnit.SECONDS;

import ai.clipper.v1.HoldReplicaLeaseRequest;
import ai.clipper.v1.HoldReplicaLeaseResponse;
import ai.clipper.v1.LeasedReplica;
import ai.clipper.v1.ManagementServiceGrpc;
import io.grpc.ManagedChannel;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.StreamObserver;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ThreadLocalRandom;

/**
 * The lease: makes this replica known to management for as long as it is willing to serve. A stream that breaks is
 * opened again, for ever, with the replica id that was given. All but release happens on one thread.
 */
final class Lease implements StreamObserver<HoldReplicaLeaseResponse> {
    private final ScheduledExecutorService thread =
            Executors.newSingleThreadScheduledExecutor(task -> new Thread(task, "lease"));
    private final CountDownLatch ended = new CountDownLatch(1);
    private final ManagedChannel channel;
    private final LeasedReplica.Builder replica;
    private StreamObserver<HoldReplicaLeaseRequest> requests;
    private Future<?> next = CompletableFuture.completedFuture(null);
    private boolean held;
    private boolean releasing;

    Lease(String management, LeasedReplica.Builder replica) {
        this.replica = replica;
        // Management that vanished without a word is noticed while the lease lives.
        channel = NettyChannelBuilder.forTarget(management).usePlaintext().executor(thread)
                .keepAliveTime(10, SECONDS).keepAliveTimeout(5, SECONDS).build();
        thread.execute(this::open);
    }

    /** Says that no more batches are wanted, and waits until management has heard it, or for two seconds. */
    void release() throws InterruptedException {
        thread.execute(() -> {
            releasing = true;
            next.cancel(false);
            if (held) {
                requests.onNext(HoldReplicaLeaseRequest.newBuilder().setRelease(true).build());
                requests.onCompleted();
            } else {
                ended.countDown();
            }
        });
        ended.await(2, SECONDS);
        channel.shutdownNow();
    }

    private void open() {
        channel.resetConnectBackoff();
        requests = ManagementServiceGrpc.newStub(channel).holdReplicaLease(this);
        requests.onNext(HoldReplicaLeaseRequest.newBuilder().setReplica(replica).build());
    }

    @Override
    public void onNext(HoldReplicaLeaseResponse confirmed) {
        if (!held) {
            System.err.println("lease held by replica " + confirmed.getModelReplicaId());
        }
        held = true;
        replica.setModelReplicaId(confirmed.getModelReplicaId());
        if (!releasing) {
            // Three renewals in its time to live, so that one or two may be late.
            Runnable renew = () -> requests.onNext(HoldReplicaLeaseRequest.getDefaultInstance());
            next = thread.schedule(renew, confirmed.getTimeToLiveMicros() / 3, MICROSECONDS);
        }
    }

    @Override
    public void onCompleted() {
        onError(new Exception("management has ended the stream"));
    }

    @Override
    public void onError(Throwable cause) {
        next.cancel(false);
        if (releasing) {
            ended.countDown();
            return;
        }
        if (held) {
            System.err.println("lease lost, trying again: " + cause.getMessage());
        }
        held = false;
        // Replicas that lost their leases together are to come back apart.
        next = thread.schedule(this::open, ThreadLocalRandom.current().nextInt(100, 1_000), MILLISECONDS);
    }
}

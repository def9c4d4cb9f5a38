package container;

import io.grpc.Status;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthCheckResponse;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.util.HashMap;
import java.util.Map;

/** grpc.health.v1, of this process ("") and its service; where io.grpc:grpc-services is at hand, take that. */
final class Health extends HealthGrpc.HealthImplBase {
    private final Map<String, ServingStatus> statuses = new HashMap<>();
    private final Map<StreamObserver<HealthCheckResponse>, String> watchers = new HashMap<>();

    /** Says from now on that these services serve, or do not. */
    synchronized void set(ServingStatus status, String... services) {
        for (String service : services) {
            statuses.put(service, status);
        }
        watchers.forEach((watcher, service) -> watcher.onNext(response(service)));
    }

    @Override
    public synchronized void check(HealthCheckRequest request, StreamObserver<HealthCheckResponse> responses) {
        if (!statuses.containsKey(request.getService())) {
            responses.onError(Status.NOT_FOUND.withDescription("unknown service").asRuntimeException());
            return;
        }
        responses.onNext(response(request.getService()));
        responses.onCompleted();
    }

    @Override
    public synchronized void watch(HealthCheckRequest request, StreamObserver<HealthCheckResponse> responses) {
        ((ServerCallStreamObserver<HealthCheckResponse>) responses).setOnCancelHandler(() -> forget(responses));
        watchers.put(responses, request.getService());
        responses.onNext(response(request.getService()));
    }

    private synchronized void forget(StreamObserver<HealthCheckResponse> watcher) {
        watchers.remove(watcher);
    }

    private HealthCheckResponse response(String service) {
        ServingStatus status = statuses.getOrDefault(service, ServingStatus.SERVICE_UNKNOWN);
        return HealthCheckResponse.newBuilder().setStatus(status).build();
    }
}

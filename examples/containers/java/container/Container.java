package container;

import static java.util.concurrent.TimeUnit.MILLISECONDS;
import static java.util.concurrent.TimeUnit.SECONDS;

import ai.clipper.v1.InputFailure;
import ai.clipper.v1.Inputs;
import ai.clipper.v1.LeasedReplica;
import ai.clipper.v1.ModelContainerServiceGrpc;
import ai.clipper.v1.PredictBatchRequest;
import ai.clipper.v1.PredictBatchResponse;
import com.google.protobuf.ByteString;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Path;

/** A model container: one replica of one model version behind a gRPC server. */
public final class Container extends ModelContainerServiceGrpc.ModelContainerServiceImplBase {
    private static final int LARGEST_BATCH_BYTES = 128 << 20;
    private static final long LARGEST_ANSWER_BYTES = 64 << 20; // a larger one would break the stream
    private static final long AROUND_EACH_BYTES = 32;

    private final Model model;

    private Container(Model model) {
        this.model = model;
    }

    public static void main(String[] arguments) throws InterruptedException {
        try {
            start().awaitTermination();
        } catch (IOException | RuntimeException error) {
            System.err.println(error);
            System.exit(2);
        }
    }

    private static Server start() throws IOException {
        if (!setting("CLIPPER_INPUT_TYPE", null).equals(Model.INPUT_TYPE_NAME)) {
            throw new IllegalArgumentException("CLIPPER_INPUT_TYPE must be " + Model.INPUT_TYPE_NAME);
        }
        String address = setting("CLIPPER_ADDRESS", "127.0.0.1:0");
        int colon = address.lastIndexOf(':');
        String host = address.substring(0, colon);
        long graceMillis = Math.round(1_000 * Double.parseDouble(setting("CLIPPER_DRAIN_GRACE_S", "10")));
        LeasedReplica.Builder replica = LeasedReplica.newBuilder()
                .setModelName(setting("CLIPPER_MODEL_NAME", null))
                .setModelVersion(setting("CLIPPER_MODEL_VERSION", null))
                .setInputType(Model.INPUT_TYPE);
        Container container = new Container(new Model(Path.of(setting("CLIPPER_MODEL_PATH", "/model"))));

        Health health = new Health();
        Server server = server(host, Integer.parseInt(address.substring(colon + 1)))
                .addService(container).addService(health).build().start();
        health.set(ServingStatus.SERVING, "", ModelContainerServiceGrpc.SERVICE_NAME);
        replica.setAddress(setting("CLIPPER_ADVERTISED_HOST", host) + ":" + server.getPort());
        String management = setting("CLIPPER_MANAGEMENT_ADDRESS", "");
        Lease lease = management.isEmpty() ? null : new Lease(management, replica);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> drain(lease, health, server, graceMillis), "drain"));
        System.err.println("ready at " + replica.getAddress());
        return server;
    }

    private static NettyServerBuilder server(String host, int port) {
        // Query services ping as often as they like, and one that vanished without a word is noticed.
        return NettyServerBuilder.forAddress(new InetSocketAddress(host, port))
                .maxInboundMessageSize(LARGEST_BATCH_BYTES)
                .permitKeepAliveTime(0, SECONDS).permitKeepAliveWithoutCalls(true)
                .keepAliveTime(30, SECONDS).keepAliveTimeout(10, SECONDS);
    }

    /** What SIGTERM and SIGINT come to: no new batches, and an answer for all that are here. */
    private static void drain(Lease lease, Health health, Server server, long graceMillis) {
        long end = System.currentTimeMillis() + graceMillis;
        try {
            if (lease != null) {
                lease.release();
            }
            health.set(ServingStatus.NOT_SERVING, "", ModelContainerServiceGrpc.SERVICE_NAME);
            server.shutdown().awaitTermination(end - System.currentTimeMillis(), MILLISECONDS);
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
        }
        Runtime.getRuntime().halt(0);
    }

    private static String setting(String name, String unset) {
        String value = System.getenv().getOrDefault(name, "");
        if (value.isEmpty() && unset == null) {
            throw new IllegalArgumentException("The environment variable " + name + " must be set");
        }
        return value.isEmpty() ? unset : value;
    }

    @Override
    public StreamObserver<PredictBatchRequest> predictBatch(StreamObserver<PredictBatchResponse> responses) {
        // Without a handler an answer to a query service that is gone would be an exception.
        ((ServerCallStreamObserver<PredictBatchResponse>) responses).setOnCancelHandler(() -> {});
        return new StreamObserver<>() {
            private boolean broken;

            @Override
            public void onNext(PredictBatchRequest request) {
                broken = request.getInputs().getLengthsCount() == 0;
                if (broken) {
                    Status status = Status.INVALID_ARGUMENT.withDescription("The batch has no inputs");
                    responses.onError(status.asRuntimeException());
                } else {
                    responses.onNext(answer(request));
                }
            }

            @Override
            public void onError(Throwable gone) {}

            @Override
            public void onCompleted() {
                if (!broken) {
                    responses.onCompleted();
                }
            }
        };
    }

    private PredictBatchResponse answer(PredictBatchRequest request) {
        long beganNanos = System.nanoTime();
        Inputs inputs = request.getInputs();
        String fault = fault(inputs);
        FloatBuffer elements =
                inputs.getData().asReadOnlyByteBuffer().order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer();
        PredictBatchResponse.Builder response = PredictBatchResponse.newBuilder().setBatchId(request.getBatchId());
        long room = LARGEST_ANSWER_BYTES - AROUND_EACH_BYTES * inputs.getLengthsCount();
        for (int index = 0; index < inputs.getLengthsCount(); index++) {
            ByteString output = ByteString.EMPTY;
            try {
                if (fault != null) {
                    throw new IllegalArgumentException(fault);
                }
                float[] input = new float[inputs.getLengths(index)];
                elements.get(input);
                output = fitting(model.predict(input), room);
                room -= output.size();
            } catch (Throwable error) { // whatever it is, the other inputs have nothing to do with it
                response.addFailures(InputFailure.newBuilder().setIndex(index).setMessage(error.toString()));
            }
            response.addOutputsBytes(output);
        }
        return response.setModelMicros((System.nanoTime() - beganNanos) / 1_000).build();
    }

    private static ByteString fitting(String output, long room) {
        ByteString text = ByteString.copyFromUtf8(output);
        if (text.size() > room) {
            throw new IllegalStateException("The batch's outputs exceed 64 MiB; deploy smaller batches");
        }
        return text;
    }

    /** What is wrong with a batch as a whole; null: nothing. */
    private static String fault(Inputs inputs) {
        if (inputs.getType() != Model.INPUT_TYPE) {
            return "The model takes " + Model.INPUT_TYPE_NAME;
        }
        long elements = inputs.getLengthsList().stream().mapToLong(Integer::toUnsignedLong).sum();
        return elements * Float.BYTES == inputs.getData().size() ? null : "The lengths do not add up to the data";
    }
}

// A model container: one replica of one model version behind a gRPC server.
#include <grpcpp/health_check_service_interface.h>
#include <signal.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>

#include "clipper/v1/model_container_service.grpc.pb.h"
#include "lease.h"
#include "model.h"

using namespace clipper::v1;
using std::chrono::milliseconds;
static_assert(std::endian::native == std::endian::little, "inputs are little-endian, and copied as they are");

// Answers the batches of all query services, each on a stream of its own.
class Container final : public ModelContainerService::Service {
 public:
  explicit Container(const std::string& model_directory) : model_(model_directory) {}

  using Stream = grpc::ServerReaderWriter<PredictBatchResponse, PredictBatchRequest>;
  grpc::Status PredictBatch(grpc::ServerContext*, Stream* stream) override {
    for (PredictBatchRequest request; stream->Read(&request);) {
      if (request.inputs().lengths().empty()) return {grpc::StatusCode::INVALID_ARGUMENT, "The batch has no inputs"};
      if (!stream->Write(Answer(request))) break;
    }
    return grpc::Status::OK;
  }

 private:
  PredictBatchResponse Answer(const PredictBatchRequest& request) const {
    const auto began = std::chrono::steady_clock::now();
    const Inputs& inputs = request.inputs();
    const std::string fault = Fault(inputs);
    const char* position = inputs.data().data();
    // A message of more than 64 MiB would break the stream.
    int64_t room = (64LL << 20) - 32LL * inputs.lengths_size();
    PredictBatchResponse response;
    for (int index = 0; index < inputs.lengths_size(); ++index) {
      std::string* output = response.add_outputs();
      try {
        if (!fault.empty()) throw std::invalid_argument(fault);
        std::vector<Model::Element> input(inputs.lengths(index));
        const size_t bytes = input.size() * sizeof(Model::Element);
        std::copy_n(std::exchange(position, position + bytes), bytes, reinterpret_cast<char*>(input.data()));
        std::string text = model_.Predict(input);
        if (std::ssize(text) > room) throw std::length_error("The batch's outputs exceed 64 MiB; deploy smaller batches");
        room -= std::ssize(text);
        *output = std::move(text);
      } catch (const std::exception& error) {
        auto* failure = response.add_failures();
        failure->set_index(index);
        failure->set_message(error.what());
      }
    }
    response.set_batch_id(request.batch_id());
    response.set_model_micros((std::chrono::steady_clock::now() - began) / std::chrono::microseconds(1));
    return response;
  }

  // What is wrong with a batch as a whole; empty: nothing.
  static std::string Fault(const Inputs& inputs) {
    if (inputs.type() != Model::kInputType) return std::string("The model takes ") + Model::kInputTypeName;
    uint64_t elements = 0;
    for (const uint32_t length : inputs.lengths()) elements += length;
    return elements * sizeof(Model::Element) == inputs.data().size() ? "" : "The lengths do not add up to the data";
  }

  const Model model_;
};

// An environment variable; one that is not set, and need be, is an error.
std::string Setting(const std::string& name, const std::optional<std::string>& unset = std::nullopt) {
  if (const char* value = std::getenv(name.c_str()); value && *value) return value;
  return unset ? *unset : throw std::invalid_argument("The environment variable " + name + " must be set");
}

std::unique_ptr<grpc::Server> Start(Container* container, const std::string& address, int* port) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), port);
  builder.RegisterService(container);
  builder.SetMaxReceiveMessageSize(128 << 20);
  // Query services ping as often as they like, and one that vanished without a word is noticed.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // two containers on one port must fail, not share it
  auto server = builder.BuildAndStart();
  return server ? std::move(server) : throw std::runtime_error("CLIPPER_ADDRESS cannot be bound: " + address);
}

[[noreturn]] void Run(const sigset_t& signals) {
  LeasedReplica replica;
  replica.set_model_name(Setting("CLIPPER_MODEL_NAME"));
  replica.set_model_version(Setting("CLIPPER_MODEL_VERSION"));
  replica.set_input_type(Model::kInputType);
  if (const std::string type = Setting("CLIPPER_INPUT_TYPE"); type != Model::kInputTypeName)
    throw std::invalid_argument(std::string("CLIPPER_INPUT_TYPE must be ") + Model::kInputTypeName + ", not " + type);
  const milliseconds grace(std::lround(1'000 * std::stod(Setting("CLIPPER_DRAIN_GRACE_S", "10"))));
  Container container(Setting("CLIPPER_MODEL_PATH", "/model"));
  const std::string address = Setting("CLIPPER_ADDRESS", "127.0.0.1:0");
  int port = 0;
  const auto server = Start(&container, address, &port);
  server->GetHealthCheckService()->SetServingStatus(ModelContainerService::service_full_name(), true);
  const std::string host = Setting("CLIPPER_ADVERTISED_HOST", address.substr(0, address.rfind(':')));
  replica.set_address(host + ":" + std::to_string(port));
  std::clog << "ready at " << replica.address() << std::endl;
  std::optional<Lease> lease;
  if (const auto address = Setting("CLIPPER_MANAGEMENT_ADDRESS", ""); !address.empty()) lease.emplace(address, replica);

  int signal = 0;
  sigwait(&signals, &signal);
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);  // a second one ends the process
  const auto end = std::chrono::system_clock::now() + grace;
  if (lease) lease->Release();
  server->GetHealthCheckService()->Shutdown();
  const auto drained = std::async(std::launch::async, [&] { server->Shutdown(end); });
  drained.wait_until(end + milliseconds(500));
  std::_Exit(0);  // the model, or management, may keep a thread for ever
}

int main() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // by all threads that are to come, so that this one can wait for them
  try {
    Run(signals);
  } catch (const std::exception& error) {
    std::cerr << error.what() << std::endl;
    return 2;
  }
}

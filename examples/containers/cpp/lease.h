// The lease: makes this replica known to management for as long as it is willing to serve.
#pragma once
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <future>
#include <iostream>
#include <random>

#include "clipper/v1/management_service.grpc.pb.h"

// Held on a thread of its own; a stream that breaks is opened again, for ever, with the replica id that was given.
class Lease {
 public:
  Lease(const std::string& management, clipper::v1::LeasedReplica replica)
      : replica_(std::move(replica)), stub_(clipper::v1::ManagementService::NewStub(Channel(management))) {
    ended_ = std::async(std::launch::async, [this] {
      std::mt19937 random{std::random_device{}()};  // replicas that lost their leases together are to come back apart
      do HoldStream();
      while (!ReleasingWithin(std::chrono::milliseconds(std::uniform_int_distribution(100, 1'000)(random))));
    });
  }

  // Says that no more batches are wanted, and waits until management has heard it, or for two seconds.
  void Release() {
    release_.set_value();
    ended_.wait_for(std::chrono::seconds(2));
  }

 private:
  static std::shared_ptr<grpc::Channel> Channel(const std::string& address) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1'000);
    // Management that vanished without a word, or is back at another address, is noticed while the lease lives.
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
    arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 500);
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  }

  void HoldStream() {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    const auto stream = stub_->HoldReplicaLease(&context);
    clipper::v1::HoldReplicaLeaseRequest request;
    *request.mutable_replica() = replica_;
    clipper::v1::HoldReplicaLeaseResponse confirmed;
    while (stream->Write(request) && !request.release() && stream->Read(&confirmed)) {
      if (request.has_replica()) std::clog << "lease held by replica " << confirmed.model_replica_id() << std::endl;
      replica_.set_model_replica_id(confirmed.model_replica_id());
      request.Clear();
      request.set_release(ReleasingWithin(std::chrono::microseconds(confirmed.time_to_live_micros() / 3)));
    }
    stream->WritesDone();
    while (stream->Read(&confirmed)) {}
    const grpc::Status status = stream->Finish();
    if (!request.release())
      std::clog << "lease lost, trying again: " << (status.ok() ? "ended" : status.error_message()) << std::endl;
  }

  // Whether the lease is to be released; waits no longer than for that.
  bool ReleasingWithin(std::chrono::microseconds time) const {
    return releasing_.wait_for(time) == std::future_status::ready;
  }

  clipper::v1::LeasedReplica replica_;
  std::unique_ptr<clipper::v1::ManagementService::Stub> stub_;
  std::promise<void> release_;
  std::future<void> releasing_ = release_.get_future();
  std::future<void> ended_;
};

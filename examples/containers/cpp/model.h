// The model: what to replace by one's own.
#pragma once
#include <charconv>
#include <fstream>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "clipper/v1/input.pb.h"

// A linear model with the weights that train.py wrote, one number a line, the intercept first.
class Model {
 public:
  using Element = double;
  static constexpr auto kInputType = clipper::v1::INPUT_TYPE_DOUBLES;
  static constexpr auto kInputTypeName = "doubles";

  explicit Model(const std::string& directory) {
    std::ifstream file(directory + "/weights.txt");
    for (double weight; file >> weight;) weights_.push_back(weight);
    if (!file.eof() || weights_.empty()) throw std::runtime_error(directory + "/weights.txt has no numbers to read");
  }

  // The output for one input, on any number of threads at a time; what it throws is the failure of this input alone.
  std::string Predict(const std::vector<double>& input) const {
    if (const size_t taken = weights_.size() - 1; input.size() != taken)
      throw std::invalid_argument("The model takes " + std::to_string(taken) + " numbers, not " +
                                  std::to_string(input.size()));
    const double sum = std::inner_product(input.begin(), input.end(), weights_.begin() + 1, weights_.front());
    char text[32];  // the shortest that is this number again
    return {text, std::to_chars(text, text + sizeof text, sum).ptr};
  }

 private:
  std::vector<double> weights_;
};

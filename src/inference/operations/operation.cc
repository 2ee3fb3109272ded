#include "inference/operations/operation.h"

#include <algorithm>
#include <vector>

namespace llm::inference {

std::span<const OperationRow> operations() {
  static const std::vector<OperationRow> all = [] {
    std::vector<OperationRow> rows;
    for (const auto family : {engine_operations(), provider_operations(), version_operations(), router_operations()}) {
      rows.insert(rows.end(), family.begin(), family.end());
    }
    return rows;
  }();
  return all;
}

const OperationRow* find_operation(std::string_view name) {
  const auto rows = operations();
  const auto found = std::ranges::find(rows, name, &OperationRow::name);
  return found == rows.end() ? nullptr : &*found;
}

}  // namespace llm::inference

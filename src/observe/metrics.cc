#include "observe/metrics.h"

#include <mutex>
#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <sstream>
#include <unordered_map>
#include <utility>

namespace llm::observe {

void Counter::add(double amount) {
  series_.Increment(amount);
}
double Counter::value() const {
  return series_.Value();
}
void Gauge::set(double value) {
  series_.Set(value);
}
void Gauge::add(double amount) {
  series_.Increment(amount);
}
void Gauge::sub(double amount) {
  series_.Decrement(amount);
}
double Gauge::value() const {
  return series_.Value();
}
void Histogram::observe(double value) {
  series_.Observe(value);
}

namespace {

// Our handles by the library's series: asking twice gives the same handle.
template <class Handle, class Series>
class Handles {
 public:
  Handle& of(Series& series) {
    auto& handle = handles_[&series];
    if (!handle) handle = std::make_unique<Handle>(series);
    return *handle;
  }

 private:
  std::unordered_map<Series*, std::unique_ptr<Handle>> handles_;
};

}  // namespace

struct Metrics::Impl {
  prometheus::Registry registry;
  mutable std::mutex mutex;  // guards all below
  Handles<Counter, prometheus::Counter> counters;
  Handles<Gauge, prometheus::Gauge> gauges;
  Handles<Histogram, prometheus::Histogram> histograms;
  std::vector<std::function<std::vector<MetricSample>()>> sources;
};

Metrics::Metrics() : impl_(std::make_unique<Impl>()) {}
Metrics::~Metrics() = default;

Counter& Metrics::counter(const std::string& name, const std::string& help, const MetricLabels& labels) {
  const std::lock_guard lock(impl_->mutex);
  return impl_->counters.of(prometheus::BuildCounter().Name(name).Help(help).Register(impl_->registry).Add(labels));
}

Gauge& Metrics::gauge(const std::string& name, const std::string& help, const MetricLabels& labels) {
  const std::lock_guard lock(impl_->mutex);
  return impl_->gauges.of(prometheus::BuildGauge().Name(name).Help(help).Register(impl_->registry).Add(labels));
}

Histogram& Metrics::histogram(const std::string& name, const std::string& help, const MetricLabels& labels,
                              std::span<const double> buckets) {
  const std::lock_guard lock(impl_->mutex);
  auto& family = prometheus::BuildHistogram().Name(name).Help(help).Register(impl_->registry);
  return impl_->histograms.of(
      family.Add(labels, prometheus::Histogram::BucketBoundaries(buckets.begin(), buckets.end())));
}

void Metrics::add_source(std::function<std::vector<MetricSample>()> source) {
  const std::lock_guard lock(impl_->mutex);
  impl_->sources.push_back(std::move(source));
}

std::string Metrics::render() const {
  auto families = impl_->registry.Collect();
  {
    const std::lock_guard lock(impl_->mutex);
    for (const auto& source : impl_->sources) {
      for (MetricSample& sample : source()) {
        prometheus::ClientMetric series;
        (sample.is_counter ? series.counter.value : series.gauge.value) = sample.value;
        prometheus::MetricFamily family;
        family.name = std::move(sample.name);
        family.help = std::move(sample.help);
        family.type = sample.is_counter ? prometheus::MetricType::Counter : prometheus::MetricType::Gauge;
        family.metric.push_back(std::move(series));
        families.push_back(std::move(family));
      }
    }
  }
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, families);
  return std::move(out).str();
}

}  // namespace llm::observe

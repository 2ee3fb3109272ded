#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
}  // namespace prometheus

namespace llm::observe {

using MetricLabels = std::map<std::string, std::string>;

// One time series each. Any thread, without looking anything up; the owner is the Metrics that made it.
class Counter {
 public:
  explicit Counter(prometheus::Counter& series) : series_(series) {}
  void add(double amount = 1);  // amounts below zero are ignored: counters only rise
  double value() const;

 private:
  prometheus::Counter& series_;
};

class Gauge {
 public:
  explicit Gauge(prometheus::Gauge& series) : series_(series) {}
  void set(double value);
  void add(double amount = 1);
  void sub(double amount = 1);
  double value() const;

 private:
  prometheus::Gauge& series_;
};

class Histogram {
 public:
  explicit Histogram(prometheus::Histogram& series) : series_(series) {}
  void observe(double value);

 private:
  prometheus::Histogram& series_;
};

// A value that is read when the metrics are rendered, for what the system already counts.
struct MetricSample {
  std::string name;
  std::string help;
  bool is_counter = false;  // else a gauge
  double value = 0;
};

// The metrics of one process (there is no global registry). Looking a series up takes a lock and builds labels: do it
// once, keep the reference; it lives as long as this object. Asking again for the same name and labels gives the same
// series. A name is [a-zA-Z_:][a-zA-Z0-9_:]*, of one type only; anything else is a bug and throws
// std::invalid_argument. Label values are any UTF-8; keeping their number small is the caller's duty.
class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  Counter& counter(const std::string& name, const std::string& help, const MetricLabels& labels = {});
  Gauge& gauge(const std::string& name, const std::string& help, const MetricLabels& labels = {});
  // `buckets`: upper bounds, rising, inclusive; +Inf is added. All series of one name should have the same.
  Histogram& histogram(const std::string& name, const std::string& help, const MetricLabels& labels,
                       std::span<const double> buckets);

  // `source` is called by each render(), on its thread, and must not call back into this object.
  void add_source(std::function<std::vector<MetricSample>()> source);

  // Text exposition format 0.0.4, to be sent as kMetricsContentType. Takes milliseconds when there are thousands of
  // series.
  std::string render() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

inline constexpr std::string_view kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace llm::observe

// What a token costs: a signature that is checked, and one that was.
#include <array>
#include <benchmark/benchmark.h>
#include <string>
#include <vector>

#include "access/jwt/claims.h"
#include "access/jwt/issuer_under_test.h"
#include "access/jwt/jwk.h"
#include "access/jwt/token_cache.h"
#include "observe/log.h"

namespace llm::access {
namespace {

// An issuer on a database of its own, and a token of it.
struct Setup {
  explicit Setup(SigningAlgorithm algorithm)
      : issuer({.algorithm = algorithm}, *database, secret_under_test(), [] { return kStart; }) {
    if (!issuer.refresh()) std::abort();
    token = issuer.issue(*key_identity()).value().access_token;
  }
  store::TemporarySqlite file;
  std::unique_ptr<store::Database> database = file.open();
  TokenIssuer issuer;
  std::string token;
  observe::Log log;
};

void verify_signature_and_claims(benchmark::State& state) {
  Setup setup(static_cast<SigningAlgorithm>(state.range(0)));
  state.SetLabel(state.range(0) == 0 ? "EdDSA" : "ES256");
  for (auto _ : state) {
    const auto verified = verify(setup.issuer, setup.token, kStart);
    if (!verified) std::abort();
    benchmark::DoNotOptimize(verified);
  }
}
BENCHMARK(verify_signature_and_claims)->Arg(0)->Arg(1);

// The whole of try_verify() for a token that is known; `n` tokens take turns.
void cached_hit(benchmark::State& state) {
  Setup setup(SigningAlgorithm::kEdDSA);
  TokenVerifier verifier({}, &setup.issuer, setup.log, [] { return kStart; });
  std::vector<std::string> tokens;
  for (int i = 0; i < state.range(0); ++i) tokens.push_back(setup.issuer.issue(*key_identity()).value().access_token);
  for (const auto& token : tokens) {
    if (!verifier.try_verify(token, kStart).value()) std::abort();
  }
  state.SetLabel(std::to_string(tokens.front().size()) + " bytes");
  std::size_t at = 0;
  for (auto _ : state) {
    const auto found = verifier.try_verify(tokens[at], kStart);
    benchmark::DoNotOptimize(found);
    if (++at == tokens.size()) at = 0;
  }
}
BENCHMARK(cached_hit)->Arg(1)->Arg(1000);

// The floor of that: the token's hash alone.
void digest_of_a_token(benchmark::State& state) {
  const std::string token(static_cast<std::size_t>(state.range(0)), 'x');
  for (auto _ : state) benchmark::DoNotOptimize(TokenCache::digest_of(token));
}
BENCHMARK(digest_of_a_token)->Arg(520)->Arg(1500);

void take_a_token_apart(benchmark::State& state) {
  Setup setup(SigningAlgorithm::kEdDSA);
  for (auto _ : state) benchmark::DoNotOptimize(take_apart(setup.token, 16 * 1024));
}
BENCHMARK(take_a_token_apart);

void refuse_a_forged_token(benchmark::State& state) {
  Setup setup(SigningAlgorithm::kEdDSA);
  TokenVerifier verifier({}, &setup.issuer, setup.log, [] { return kStart; });
  std::string forged = setup.token;
  forged[forged.size() - 20] = forged[forged.size() - 20] == 'A' ? 'B' : 'A';
  for (auto _ : state) benchmark::DoNotOptimize(verifier.try_verify(forged, kStart));
}
BENCHMARK(refuse_a_forged_token);

}  // namespace
}  // namespace llm::access

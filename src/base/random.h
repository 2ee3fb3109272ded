#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace llm {

// Bytes from the kernel's generator (getrandom); aborts the process if the kernel has none to give.
void random_bytes(std::span<unsigned char> out);

// An id nobody can guess: `prefix` + 128 random bits as 32 hex digits.
std::string random_id(std::string_view prefix = {});

// An id that is unique, sorts by time and is cheap (UUIDv7-like, 32 hex digits): request ids, not secrets.
std::string unique_id(std::string_view prefix = {});

}  // namespace llm

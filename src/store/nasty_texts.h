#pragma once

#include <string>

// For tests: what attackers put into names, and what no text column takes.
namespace llm::store {

inline const std::string kNastyTexts[] = {
    "'",
    "''",
    "\"",
    "\\",
    "\\'",
    "`",
    "'; DROP TABLE api_keys; --",
    "' OR '1'='1",
    "\" OR \"\"=\"",
    "' UNION SELECT hash FROM api_keys --",
    "1; UPDATE users SET role='admin'",
    "admin'--",
    "admin'/*",
    "'||(SELECT 1)||'",
    ":id",
    ":name, :role",
    "$1",
    "?1",
    "%s %n %x",
    "{}{0}{:d}",
    "%",
    "_",
    "[a-z]*",
    "\n\r\t\b\x1b[2J",
    " leading and trailing ",
    "NULL",
    "nan",
    "-1",
    "9223372036854775808",
    "E'\\x27'",
    "$$; SELECT pg_sleep(10); $$",
    "x' AND randomblob(1000000000) --",
    "\xc3\xa9\xe2\x80\xae\xf0\x9f\x98\x80",  // é, right-to-left override, an emoji
    "\xef\xbc\x87",                          // a full-width apostrophe
    "\xca\xbc",                              // a modifier letter apostrophe
    std::string(70'000, 'x') + "'",
};

inline const std::string kUnstorableTexts[] = {
    std::string("k\0", 2),
    std::string("\0", 1),
    std::string("k\0' OR 1=1", 11),
    "\xff",
    "\xc0\xa7",
    "\xed\xa0\x80",
    "\xbf'",
};

}  // namespace llm::store

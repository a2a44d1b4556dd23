#!/usr/bin/env bash
# Sends the sample campaign to 200 made-up people: SQLite as the store, a maildir as the provider, no network.
# Starts anew each time in demo/ (or the folder given). `make demo` calls it with sendctl on the PATH.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=${1:-demo}
campaign=examples/spring-sale
unset "${!SENDCTL_@}" # the demo must not reach the store or the providers of your own settings

if [ -t 1 ]; then bold=$'\033[1m' plain=$'\033[0m'; else bold='' plain=''; fi
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
run() { printf '$ %s\n' "$*" && "$@"; }

if [ -n "$(ls -A "$folder" 2>/dev/null)" ] && ! grep -qs "^# Written by examples/demo.sh" "$folder/sendctl.toml"; then
    echo "$folder exists and is no earlier demo: move it away, or name another folder" >&2
    exit 1
fi
rm -rf "$folder"
mkdir -p "$folder"

cat >"$folder/sendctl.toml" <<'TOML'
# Written by examples/demo.sh. `sendctl init` writes a fuller one with every key explained.
[store]
url = "sqlite:///sendctl.db" # file names here are relative to this file

[send]
enabled = true
providers = ["outbox"]

[providers.outbox]
type = "maildir"
path = "Maildir"

[journal]
witness = "witness" # goes with the rest, so that the next demo is not taken for a lost store
TOML
export SENDCTL_CONFIG="$folder/sendctl.toml"

say "1. Create the store: one SQLite file."
run sendctl migrate

say "2. Write down every planned message, before anything is sent."
run sendctl enqueue "$campaign/campaign.toml" --contacts "$campaign/contacts.csv" --at now

say "3. Send what is due: the command that cron runs every minute."
run sendctl send-due

say "4. Run it again: nobody is sent twice."
run sendctl send-due

say "5. Who got it, who did not, who is unknown?"
run sendctl status --campaign spring-sale

mails=("$folder"/Maildir/new/*)
say "${#mails[@]} messages are in $folder/Maildir. Open them with any mail reader:"
echo "  mutt -f $folder/Maildir"
echo "  cat ${mails[0]}"
sendctl=$(command -v sendctl)
echo "Ask the ledger yourself:"
echo "  export SENDCTL_CONFIG=$SENDCTL_CONFIG"
echo "  ${sendctl#"$PWD"/} messages --campaign spring-sale"
echo "  sqlite3 $folder/sendctl.db 'SELECT status, count(*) FROM messages GROUP BY status'"

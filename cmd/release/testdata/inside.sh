#!/bin/bash
# Run by debian.sh in a bare Debian: neither Go nor Node, nor a network. There is
# no systemd either: the program is started with the unit's own command line.
set -euo pipefail

key=sk-0123456789abcdefghijklmnopqrstuvwxyz0123456789ab
password='correct horse battery'
settings=/etc/key-ip-sentinel/sentinel.env
data=/var/lib/key-ip-sentinel
server=

step() { printf -- '-- %s\n' "$*"; }
die() {
	printf 'FAILED: %s\n' "$*"
	tail -n 20 /tmp/server.log 2>/dev/null || true
	exit 1
}

# request METHOD PATH FROM [HEADER]... [BODY on standard input if METHOD is POST]
# prints the status and the body.
request() {
	perl -MIO::Socket::INET -e '
		my ($method, $path, $from, @headers) = @ARGV;
		my $body = $method eq "POST" ? do { local $/; <STDIN> } : "";
		my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:7000", LocalAddr => $from, Timeout => 10) or die "connect: $@\n";
		print $s join("\r\n", "$method $path HTTP/1.1", "Host: sentinel", "Connection: close", @headers, "Content-Length: " . length($body), "", $body);
		local $/; my $answer = <$s>; $answer =~ s/^HTTP\/\S+ //; print $answer;' "$@"
}

expect() { # STATUS WHAT, the answer on standard input
	local answer
	answer=$(cat)
	[[ $answer == "$1 "* ]] || die "$2: want $1, got: $answer"
	step "$2: $1"
}

use_key() { request GET /v1/models "$1" "Authorization: Bearer $key"; }

wait_for() { # until the program at $1 serves
	for _ in $(seq 150); do
		"$1" healthcheck --url http://127.0.0.1:7000/health >/dev/null 2>&1 && return
		kill -0 "$server" 2>/dev/null || die "it ended"
		sleep 0.2
	done
	die "it does not serve"
}

stop() {
	kill -TERM "$server"
	wait "$server" || die "it ended with exit code $?"
	server=
}

# What a new installation has to be able to do. $1 is the program, the rest is
# what runs it as the right user.
first_use() {
	local program=$1
	shift
	printf '%s' "$password" | "$@" "$program" admin create root --role admin --data-dir "$data"
	printf '{"username":"root","password":"%s"}' "$password" |
		request POST /admin/api/login 127.0.0.1 'Content-Type: application/json' | expect 200 "signing in"
	request GET /admin/ui/ 127.0.0.1 | expect 200 "the console"
	use_key 127.0.0.1 | expect 200 "first use of a key"
	still_bound "$program" "$@"
}

still_bound() {
	local program=$1
	shift
	use_key 127.0.0.1 | expect 200 "the key from its address"
	use_key 127.0.0.2 | expect 403 "the key from elsewhere"
	[ "$("$@" "$program" bindings list --data-dir "$data" --output csv | wc -l)" = 2 ] || die "not one binding"
	"$@" "$program" admin list --data-dir "$data" | grep -q root || die "the account is lost"
}

tarball() {
	step "the archive"
	(cd /release/new && sha256sum --quiet -c SHA256SUMS)
	mkdir /opt/sentinel
	tar -xzf /release/new/sentinel_*_linux_*.tar.gz -C /opt/sentinel --strip-components 1
	[ -s /opt/sentinel/LICENSE ] && [ -n "$(ls /opt/sentinel/licences/go)" ] && [ -n "$(ls /opt/sentinel/licences/npm)" ] || die "licences are missing"
	/opt/sentinel/sentinel version
	data=/opt/data
	mkdir -m 0700 "$data"
	serve() { DOWNSTREAM_URL=http://$gateway SENTINEL_DATA_DIR=$data "$1" serve >/tmp/server.log 2>&1 & server=$!; wait_for "$1"; }
	serve /release/old/sentinel
	first_use /release/old/sentinel env
	stop
	step "upgrade of the archive"
	serve /opt/sentinel/sentinel
	still_bound /opt/sentinel/sentinel env
	DOWNSTREAM_URL=http://$gateway SENTINEL_DATA_DIR=$data /opt/sentinel/sentinel check || die "check finds faults"
	stop
	DOWNSTREAM_URL=http://$gateway SENTINEL_DATA_DIR=$data timeout 20 /release/old/sentinel serve >/tmp/older.log 2>&1 || true
	grep -q 'written by a newer version' /tmp/older.log || die "the older program took newer data: $(cat /tmp/older.log)"
	step "the older program refuses newer data: $(grep 'written by a newer version' /tmp/older.log | tail -n 1)"
	rm -rf "$data" /opt/sentinel
	data=/var/lib/key-ip-sentinel
}

package() {
	step "the package"
	dpkg -i /release/old/previous.deb >/tmp/dpkg.log 2>&1 || die "$(cat /tmp/dpkg.log)"
	[ "$(stat -c '%U:%G %a' "$data")" = 'sentinel:sentinel 700' ] || die "data directory: $(stat -c '%U:%G %a' "$data")"
	[ "$(stat -c '%U:%G %a' "$settings")" = 'root:sentinel 640' ] || die "settings: $(stat -c '%U:%G %a' "$settings")"
	sed -i "s|^#DOWNSTREAM_URL=.*|DOWNSTREAM_URL=http://$gateway|" "$settings"
	read -ra command < <(sed -n 's/^ExecStart=//p' /usr/lib/systemd/system/sentinel.service)
	as=(setpriv --reuid sentinel --regid sentinel --init-groups --no-new-privs)
	serve() { (cd / && umask 0077 && STATE_DIRECTORY=$data exec "${as[@]}" "${command[@]}") >/tmp/server.log 2>&1 & server=$!; wait_for /usr/bin/sentinel; }
	serve
	first_use /usr/bin/sentinel "${as[@]}"
	stop
	step "upgrade of the package"
	dpkg -i /release/new/key-ip-sentinel_*.deb >/tmp/dpkg.log 2>&1 || die "$(cat /tmp/dpkg.log)"
	grep -q "^DOWNSTREAM_URL=http://$gateway" "$settings" || die "the settings are lost"
	serve
	still_bound /usr/bin/sentinel "${as[@]}"
	"${as[@]}" sentinel check --env-file "$settings" || die "check finds faults"
	stop
	ls "$data"
}

removal() {
	step "removal"
	dpkg -r key-ip-sentinel >/tmp/dpkg.log 2>&1 || die "$(cat /tmp/dpkg.log)"
	[ ! -e /usr/bin/sentinel ] && [ ! -e /usr/lib/systemd/system/sentinel.service ] || die "the program is still there"
	[ -s "$data/sentinel.db" ] && [ -s "$settings" ] || die "data or settings are gone"
	dpkg -i /release/new/key-ip-sentinel_*.deb >/tmp/dpkg.log 2>&1 || die "$(cat /tmp/dpkg.log)"
	serve
	still_bound /usr/bin/sentinel "${as[@]}"
	stop
	step "purge"
	dpkg -P key-ip-sentinel >/tmp/dpkg.log 2>&1 || die "$(cat /tmp/dpkg.log)"
	for left in "$data" /etc/key-ip-sentinel /usr/bin/sentinel /usr/share/doc/key-ip-sentinel; do
		[ ! -e $left ] || die "$left is still there: $(find $left)"
	done
	if getent passwd sentinel; then die "the user is still there"; fi
}

# What the guides take for granted and a bare Debian lacks. systemctl runs the
# unit's own command line as the unit's user.
stand_ins() {
	cat >/usr/local/bin/sudo <<-'END'
		#!/bin/bash
		[ "$1" = -E ] && shift
		if [ "$1" = -u ]; then user=$2; shift 2; exec setpriv --reuid "$user" --regid "$user" --init-groups "$@"; fi
		exec "$@"
	END
	cat >/usr/local/bin/sudoedit <<-'END'
		#!/bin/bash
		sed -i 's|^#DOWNSTREAM_URL=|DOWNSTREAM_URL=|' "$1"
	END
	cat >/usr/local/bin/systemctl <<-'END'
		#!/bin/bash
		pid=$(cat /run/sentinel.pid 2>/dev/null)
		case $1 in
		daemon-reload) ;;
		stop | restart)
			[ -z "$pid" ] || { kill -TERM "$pid" && while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done; rm /run/sentinel.pid; }
			[ "$1" = stop ] || exec systemctl start sentinel
			;;
		start | enable)
			install -d -m 0700 -o sentinel -g sentinel /var/lib/key-ip-sentinel # StateDirectory=
			read -ra command < <(cat /etc/systemd/system/sentinel.service /usr/lib/systemd/system/sentinel.service 2>/dev/null | sed -n 's/^ExecStart=//p' | head -n 1)
			(cd / && STATE_DIRECTORY=/var/lib/key-ip-sentinel exec setsid setpriv --reuid sentinel --regid sentinel --init-groups --no-new-privs "${command[@]}" >/tmp/server.log 2>&1) &
			echo $! >/run/sentinel.pid
			for _ in $(seq 150); do /usr/bin/sentinel healthcheck --url http://127.0.0.1:7000/health >/dev/null 2>&1 && exit; sleep 0.2; done
			exit 1
			;;
		*) exit 2 ;;
		esac
	END
	chmod 755 /usr/local/bin/{sudo,sudoedit,systemctl}
}

# guide PAGE HEADING [N] runs the Nth piece of shell code below a heading (all, if
# none is named) as it stands there, in the directory at hand.
guide() {
	step "guide: $1, $2"
	awk -v heading="$2" -v want="${3:-0}" '
		/^#+ / { inside = ($0 == heading) }
		inside && /^ *```sh$/ { n++; code = (want == 0 || n == want); next }
		/^ *```$/ { code = 0 }
		code { sub(/^   /, ""); print }' "/release/docs/$1" >/tmp/guide.sh
	[ -s /tmp/guide.sh ] || die "$1 has no code below $2"
	sed -i "s/2026-11-26/$(date +%F)/" /tmp/guide.sh
	printf '%s' "$password" | bash -eu /tmp/guide.sh >/tmp/guide.log 2>&1 || die "$(cat /tmp/guide.log)"
}

guides() {
	stand_ins
	mkdir -p /backup /srv/bundles
	/tmp/sentinel demo-gateway --listen 127.0.0.1:3000 --keys-file /tmp/keys >/dev/null &
	cd /release/new
	guide deploy/systemd.md "## Other distributions"
	guide deploy/systemd.md "## The first account"
	use_key 127.0.0.1 | expect 200 "first use of a key"
	guide operations.md "## Backup and restore drill"
	systemctl stop sentinel

	step "the version before"
	rm -rf "$data"/* /release/new/sentinel_*/
	install -m 0755 /release/old/sentinel /usr/bin/sentinel
	systemctl start sentinel
	first_use sentinel sudo -u sentinel
	tar -xzf sentinel_*_linux_*.tar.gz && cd sentinel_*_linux_*/
	guide upgrade.md "## Upgrade" 1
	guide upgrade.md "## Upgrade" 2
	guide upgrade.md "## Upgrade" 4
	still_bound sentinel sudo -u sentinel
	guide upgrade.md "## Rollback"
	still_bound sentinel sudo -u sentinel
	sentinel version | grep -q previous || die "the version before is not back"
	systemctl stop sentinel
	rm -rf "$data" /etc/key-ip-sentinel /etc/systemd/system/sentinel.service /usr/bin/sentinel /release/new/sentinel_*/

	step "a site without the internet"
	mkdir -p /srv/bundles/NEW /srv/bundles/OLD
	ln -s /release/new /srv/bundles/NEW/release
	ln -s /release/new /srv/bundles/OLD/release
	cd /srv/bundles/NEW
	guide offline.md "## Install" 1
	guide offline.md "## Install" 3
	use_key 127.0.0.1 | expect 200 "first use of a key"
	export SENTINEL_DATA_DIR=$data
	guide offline.md "## Upgrade"
	guide offline.md "## Roll back"
	use_key 127.0.0.1 | expect 200 "the key from its address"
	use_key 127.0.0.2 | expect 403 "the key from elsewhere"
	systemctl stop sentinel
}

for tool in go node curl systemctl; do
	if command -v $tool; then die "$tool is there"; fi
done
tar -xzf /release/new/sentinel_*_linux_*.tar.gz -C /tmp --strip-components 1 --wildcards '*/sentinel'
echo "$key" >/tmp/keys
/tmp/sentinel demo-gateway --keys-file /tmp/keys >/tmp/gateway.addr &
for _ in $(seq 150); do [ -s /tmp/gateway.addr ] && break; sleep 0.2; done
gateway=$(cat /tmp/gateway.addr)
tarball
package
removal
guides
step "the guides work"

#!/bin/sh
# Linux 6.18, MPTCP (Documentation/networking/mptcp.rst): its listeners serve plain TCP clients as
# well, and it "supports most socket options handled by TCP".
# Guess: an option that setsockopt takes on the listener holds for a client with plain TCP, as it
# does behind a TCP listener (tcp(7), socket(7)).
# Seen: TCP_KEEPIDLE and TCP_NODELAY do. TCP_NOTSENT_LOWAT and SO_RCVLOWAT are taken, and getsockopt
# on the listener returns them, but on the socket of such a client they are not set. That socket is
# one of TCP, not of MPTCP: they can be set there.
. "$(dirname "$0")/common"
needs gcc

kernel=$(uname -r)
[ "$(printf '6.18\n%s\n' "$kernel" | sort -V | head -n 1)" = 6.18 ] ||
    missing "this is Linux $kernel, of which nothing is said"
[ "$(cat /proc/sys/net/mptcp/enabled 2>/dev/null)" = 1 ] || missing 'this kernel has no MPTCP'

cat >"$folder/trial.c" <<'END'
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MULTIPATH = 262 }; // IPPROTO_MPTCP, which older headers lack

static int get(int socket_, int level, int option) {
    int value = -1;
    getsockopt(socket_, level, option, &value, &(socklen_t){sizeof value});
    return value;
}

// Sets an option on a listener of that protocol and shows what it is there and for a client.
static void try(int protocol, int level, int option, int value) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM, protocol);
    if (setsockopt(listener, level, option, &value, sizeof value) != 0 ||
        bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(listener, 1) != 0)
        perror("listener");
    getsockname(listener, (struct sockaddr *)&address, &(socklen_t){sizeof address});
    int client = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
    if (connect(client, (struct sockaddr *)&address, sizeof address) != 0)
        perror("client");
    int accepted = accept(listener, NULL, NULL);
    printf("  %s: %d, client %d%s\n", protocol == MULTIPATH ? "MPTCP" : "TCP  ",
           get(listener, level, option), get(accepted, level, option),
           get(accepted, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_TCP ? "" : " by MPTCP");
    close(accepted);
    close(client);
    close(listener);
}

int main(void) {
    const struct {
        const char *name;
        int level, option, value;
    } options[] = {
        {"TCP_KEEPIDLE", IPPROTO_TCP, TCP_KEEPIDLE, 33},
        {"TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY, 1},
        {"TCP_NOTSENT_LOWAT", IPPROTO_TCP, TCP_NOTSENT_LOWAT, 4096},
        {"SO_RCVLOWAT", SOL_SOCKET, SO_RCVLOWAT, 5},
    };
    for (unsigned i = 0; i < sizeof options / sizeof options[0]; i++) {
        printf("%s, listener of\n", options[i].name);
        try(IPPROTO_TCP, options[i].level, options[i].option, options[i].value);
        try(MULTIPATH, options[i].level, options[i].option, options[i].value);
    }
    return 0;
}
END
gcc -o "$folder/trial" "$folder/trial.c"
unshare --net sh -c "ip link set lo up && exec '$folder/trial'" >"$folder/seen"
same "$folder/seen" <<'END'
TCP_KEEPIDLE, listener of
  TCP  : 33, client 33
  MPTCP: 33, client 33
TCP_NODELAY, listener of
  TCP  : 1, client 1
  MPTCP: 1, client 1
TCP_NOTSENT_LOWAT, listener of
  TCP  : 4096, client 4096
  MPTCP: 4096, client -1
SO_RCVLOWAT, listener of
  TCP  : 5, client 5
  MPTCP: 5, client 0
END

/*
 * echo.cpp: a right echo server in C++: a thread for each client.
 *
 *     echo [port]        prints the address that it listens on, and serves
 *
 * A socket belongs to an object that closes it, so that no way out of a function leaves it open;
 * each thread owns its client's. What a constructor of std::thread throws is one client's loss.
 */
#include <arpa/inet.h>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <netinet/in.h>
#include <string>
#include <sys/socket.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <utility>

class Socket
{
public:
    explicit Socket(int number) : number_(number) {}
    Socket(Socket &&other) noexcept : number_(std::exchange(other.number_, -1)) {}
    Socket &operator=(Socket &&) = delete;
    ~Socket()
    {
        if (number_ != -1)
            close(number_);
    }
    int number() const { return number_; }

private:
    int number_;
};

static void check(int result, const char *what)
{
    if (result == -1)
        throw std::system_error(errno, std::generic_category(), what);
}

static void echo(const Socket &client)
{
    char buffer[4096];
    ssize_t size, done, more;

    while ((size = recv(client.number(), buffer, sizeof buffer, 0)) > 0)
        for (done = 0; done < size; done += more) {
            more = send(client.number(), buffer + done, size - done, MSG_NOSIGNAL);
            if (more == -1)
                return; // the client has gone; without MSG_NOSIGNAL, so would have we
        }
}

static Socket open_listener(std::uint16_t port)
{
    Socket listener(socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address{};
    socklen_t length = sizeof address;
    const int on = 1;

    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto *const general = reinterpret_cast<sockaddr *>(&address);
    check(listener.number(), "socket");
    check(setsockopt(listener.number(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "setsockopt");
    check(bind(listener.number(), general, length), "bind");
    check(listen(listener.number(), 128), "listen");
    check(getsockname(listener.number(), general, &length), "getsockname");
    std::cout << "127.0.0.1:" << ntohs(address.sin_port) << std::endl;
    return listener;
}

static void serve_next(const Socket &listener)
{
    Socket client(accept(listener.number(), nullptr, nullptr));

    if (client.number() == -1 && (errno == EINTR || errno == ECONNABORTED))
        return;
    check(client.number(), "accept");
    std::thread(echo, std::move(client)).detach();
}

int main(int argc, char **argv)
try {
    const int port = argc > 1 ? std::stoi(argv[1]) : 0;
    const Socket listener = open_listener(static_cast<std::uint16_t>(port));

    for (;;)
        try {
            serve_next(listener);
        } catch (const std::system_error &error) { // short of something: neither spin nor end
            std::cerr << error.what() << std::endl;
            std::this_thread::sleep_for(std::chrono::seconds(1));
        }
} catch (const std::exception &error) {
    std::cerr << "echo: " << error.what() << std::endl;
    return 1;
}

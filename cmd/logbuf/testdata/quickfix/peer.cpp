// A FIX engine made of QuickFIX, for tests: an initiator that sends orders, or an
// acceptor that fills them.
//
//   peer acceptor SETTINGS            fills each order until stdin ends
//   peer initiator SETTINGS N WAIT MS sends N orders, one each MS milliseconds, waits
//                                     for WAIT executions, logs out and ends
//
// Each event is a line on stdout.
#include <quickfix/FileLog.h>
#include <quickfix/FileStore.h>
#include <quickfix/Session.h>
#include <quickfix/SessionSettings.h>
#include <quickfix/SocketAcceptor.h>
#include <quickfix/SocketInitiator.h>
#include <quickfix/fix44/ExecutionReport.h>
#include <quickfix/fix44/NewOrderSingle.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <set>
#include <string>
#include <thread>

static std::mutex printing;

static void say(const std::string &line) {
  std::lock_guard<std::mutex> guard(printing);
  std::cout << line << std::endl;
}

static void nap(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

class Peer : public FIX::Application {
public:
  std::atomic<bool> up{false};
  FIX::SessionID id;

  size_t executions() {
    std::lock_guard<std::mutex> guard(mutex);
    return executed.size();
  }

  void onCreate(const FIX::SessionID &session) { id = session; }
  void onLogon(const FIX::SessionID &) { up = true; say("logon"); }
  void onLogout(const FIX::SessionID &) { up = false; say("logout"); }
  void toAdmin(FIX::Message &, const FIX::SessionID &) {}
  void toApp(FIX::Message &, const FIX::SessionID &) throw(FIX::DoNotSend) {}
  void fromAdmin(const FIX::Message &, const FIX::SessionID &) throw(FIX::FieldNotFound, FIX::IncorrectDataFormat, FIX::IncorrectTagValue, FIX::RejectLogon) {}

  void fromApp(const FIX::Message &message, const FIX::SessionID &session) throw(FIX::FieldNotFound, FIX::IncorrectDataFormat, FIX::IncorrectTagValue, FIX::UnsupportedMessageType) {
    FIX::MsgType type;
    message.getHeader().getField(type);
    FIX::ClOrdID order;
    message.getField(order);
    if (type == FIX::MsgType_NewOrderSingle) {
      FIX44::ExecutionReport report(FIX::OrderID("x" + order.getValue()), FIX::ExecID("e" + order.getValue()), FIX::ExecType('F'),
                                    FIX::OrdStatus('2'), FIX::Side('1'), FIX::LeavesQty(0), FIX::CumQty(100), FIX::AvgPx(10.5));
      report.set(order);
      FIX::Session::sendToTarget(report, session);
      return;
    }
    FIX::PossDupFlag dup(false);
    if (message.getHeader().isSetField(dup)) message.getHeader().getField(dup);
    std::lock_guard<std::mutex> guard(mutex);
    executed.insert(order.getValue());
    say(std::string("execution ") + order.getValue() + (dup.getValue() ? " again" : ""));
  }

private:
  std::mutex mutex;
  std::set<std::string> executed;
};

static void sendOrders(Peer &peer, int n, int ms) {
  for (int i = 1; i <= n; i++) {
    while (!peer.up) nap(1);
    FIX44::NewOrderSingle order(FIX::ClOrdID(std::to_string(i)), FIX::Side('1'), FIX::TransactTime(), FIX::OrdType('2'));
    order.set(FIX::Symbol("ABC"));
    order.set(FIX::OrderQty(100));
    order.set(FIX::Price(10.5));
    FIX::Session::sendToTarget(order, peer.id);
    if (ms > 0) nap(ms);
  }
}

static int run(int argc, char **argv) {
  if (argc < 3) throw std::runtime_error("usage: peer acceptor|initiator SETTINGS [N WAIT MS]");
  FIX::SessionSettings settings(argv[2]);
  Peer peer;
  FIX::FileStoreFactory store(settings);
  FIX::FileLogFactory log(settings);
  if (std::string(argv[1]) == "acceptor") {
    FIX::SocketAcceptor acceptor(peer, store, settings, log);
    acceptor.start();
    say("listening");
    while (std::cin.get() != EOF) {}
    acceptor.stop();
    return 0;
  }
  if (argc < 6) throw std::runtime_error("initiator: needs N WAIT MS");
  FIX::SocketInitiator initiator(peer, store, settings, log);
  initiator.start();
  sendOrders(peer, atoi(argv[3]), atoi(argv[5]));
  while (peer.executions() < (size_t)atoi(argv[4])) nap(1);
  nap(1500); // long enough for a heartbeat
  initiator.stop();
  say("done");
  return 0;
}

int main(int argc, char **argv) {
  try {
    return run(argc, argv);
  } catch (std::exception &e) {
    std::cerr << "peer: " << e.what() << std::endl;
    return 1;
  }
}
